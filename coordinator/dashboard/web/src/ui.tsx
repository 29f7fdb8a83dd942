// What pages are made of.
import { useEffect, useId, useRef, useState, type ButtonHTMLAttributes, type InputHTMLAttributes, type ReactNode } from "react";
import { message } from "./api";

/** Page is a page with its title, which the browser shows, too. */
export function Page({ title, heading, actions, children }: { title: string; heading?: ReactNode; actions?: ReactNode; children: ReactNode }) {
  useEffect(() => {
    document.title = title + " · adit";
  }, [title]);
  return (
    <>
      <div className="heading">
        <h1>{heading ?? title}</h1>
        {actions && <div className="actions">{actions}</div>}
      </div>
      {children}
    </>
  );
}

/** Waiting holds the place of what is being read. It says so only if that takes long. */
export function Waiting({ label, rows = 3 }: { label: string; rows?: number }) {
  return (
    <div className="waiting" role="status" aria-label={label}>
      {Array.from({ length: rows }, (_, i) => (
        <div className="bone" key={i} />
      ))}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Trouble({ what, why, again }: { what: string; why: string; again?: () => void }) {
  return (
    <div className="trouble" role="alert">
      <div>
        <strong>{what}.</strong> {why}
      </div>
      {again && <button onClick={again}>Try again</button>}
    </div>
  );
}

interface Asked<T> {
  data: T | undefined;
  error: Error | null;
  refetch: () => unknown;
}

/** Loaded shows what was read, or that it is being read or cannot be. */
export function Loaded<T>({ of, what, rows, children }: { of: Asked<T>; what: string; rows?: number; children: (data: T) => ReactNode }) {
  if (of.data !== undefined) return <>{children(of.data)}</>;
  if (of.error) return <Trouble what={`Cannot read ${what}`} why={message(of.error)} again={() => void of.refetch()} />;
  return <Waiting label={`Reading ${what}`} rows={rows} />;
}

type Tone = "good" | "busy" | "bad" | "idle" | "warn";

export function Badge({ tone, children }: { tone: Tone; children: ReactNode }) {
  return <span className={"badge " + tone}>{children}</span>;
}

export function Button({ busy, children, ...rest }: ButtonHTMLAttributes<HTMLButtonElement> & { busy?: boolean }) {
  return (
    <button type="button" aria-busy={busy || undefined} disabled={busy || rest.disabled} {...rest}>
      {children}
    </button>
  );
}

/** Field is an input with its label, what helps to fill it in, and what is wrong with it. */
export function Field({ label, hint, error, ...input }: InputHTMLAttributes<HTMLInputElement> & { label: string; hint?: ReactNode; error?: string }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input id={id} aria-describedby={hint || error ? id + "d" : undefined} aria-invalid={error ? true : undefined} {...input} />
      {(hint || error) && (
        <p id={id + "d"} className={error ? "wrong" : "soft"}>
          {error ?? hint}
        </p>
      )}
    </div>
  );
}

/** Failed says what went wrong with what somebody asked for. */
export function Failed({ err }: { err: unknown }) {
  if (!err) return null;
  return (
    <p className="wrong" role="alert">
      {message(err)}
    </p>
  );
}

export function Copied({ text, label = "Copy" }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  return (
    <Button
      className="quiet"
      onClick={() => {
        // Without HTTPS there is no clipboard for pages; the text stays to be selected.
        void navigator.clipboard?.writeText(text).then(() => setDone(true));
      }}
    >
      {done ? "Copied" : label}
    </Button>
  );
}

/** Command is something to type into a terminal. */
export function Command({ children }: { children: string }) {
  return (
    <div className="command">
      <code tabIndex={0} role="group" aria-label="Command">{children}</code>
      <Copied text={children} />
    </div>
  );
}

/** Confirm asks before something that cannot be undone. */
export function Confirm({ title, children, act, close, label, disabled, err }: {
  title: string;
  children: ReactNode;
  label: string;
  disabled?: boolean;
  err?: unknown;
  act: () => void;
  close: () => void;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const d = dialog.current;
    d?.showModal();
    return () => d?.close();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={close} onCancel={close}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          act();
        }}
      >
        <h2 id={id}>{title}</h2>
        {children}
        <Failed err={err} />
        <div className="actions">
          <Button onClick={close}>Keep it</Button>
          <button className="danger" disabled={disabled}>
            {label}
          </button>
        </div>
      </form>
    </dialog>
  );
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const exact = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });
const steps: [Intl.RelativeTimeFormatUnit, number][] = [
  ["second", 60],
  ["minute", 60],
  ["hour", 24],
  ["day", 30],
  ["month", 12],
  ["year", Infinity],
];

export function ago(at: Date, now = Date.now()): string {
  let n = (at.getTime() - now) / 1000;
  for (const [unit, size] of steps) {
    if (Math.abs(n) < size) return unit === "second" && Math.abs(n) < 45 ? (n < 0 ? "just now" : "now") : relative.format(Math.round(n), unit);
    n /= size;
  }
  return "";
}

/** When is a moment, as far away as it is; the exact one shows on hover and to machines. */
export function When({ at, never = "never" }: { at: string | null | undefined; never?: string }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const t = setInterval(() => tick((n) => n + 1), 30_000);
    return () => clearInterval(t);
  }, []);
  if (!at) return <span className="soft">{never}</span>;
  const d = new Date(at);
  return (
    <time dateTime={at} title={exact.format(d)}>
      {ago(d)}
    </time>
  );
}

/** duration is how long something took, for people. */
export function duration(from: string | null | undefined, to: string | null | undefined): string {
  if (!from) return "";
  const s = ((to ? new Date(to).getTime() : Date.now()) - new Date(from).getTime()) / 1000;
  if (s < 10) return Math.max(0, s).toFixed(1) + " s";
  if (s < 90) return Math.round(s) + " s";
  return Math.round(s / 60) + " min";
}

/** size is how much it is, for people. */
export function size(n: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let i = 0;
  for (; n >= 1000 && i < units.length - 1; i++) n /= 1000;
  return `${i > 0 && n < 10 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}
