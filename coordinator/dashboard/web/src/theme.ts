// Light or dark: as the system says, unless somebody chose.
import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";

const key = "adit:theme";
const changed = "adit:theme";

function chosen(): Theme {
  const t = localStorage.getItem(key);
  return t === "light" || t === "dark" ? t : "system";
}

export function applyTheme(): void {
  const t = chosen();
  if (t === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = t;
}

export function useTheme(): [Theme, (t: Theme) => void] {
  const t = useSyncExternalStore((f) => {
    addEventListener(changed, f);
    return () => removeEventListener(changed, f);
  }, chosen);
  return [
    t,
    (next) => {
      if (next === "system") localStorage.removeItem(key);
      else localStorage.setItem(key, next);
      applyTheme();
      dispatchEvent(new Event(changed));
    },
  ];
}
