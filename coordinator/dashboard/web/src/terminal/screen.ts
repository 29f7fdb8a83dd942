// What a terminal shows: xterm.js with what it takes to use it.
import { Terminal, type ITheme } from "@xterm/xterm";
import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon } from "@xterm/addon-search";
import { Unicode11Addon } from "@xterm/addon-unicode11";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { WebglAddon } from "@xterm/addon-webgl";
import "@xterm/xterm/css/xterm.css";
import { allowStyles, terminalDocument } from "./styles";

const light: ITheme = {
  background: "#fdfcfa", foreground: "#1c1b19", cursor: "#8a4708", cursorAccent: "#ffffff", selectionBackground: "#f1d6b4", selectionForeground: "#1c1b19",
  black: "#1c1b19", red: "#a8261c", green: "#1d6b3a", yellow: "#7d5700", blue: "#1f5fa8", magenta: "#86308a", cyan: "#0c6570", white: "#5f5b55",
  brightBlack: "#5f5b55", brightRed: "#b5332a", brightGreen: "#226f40", brightYellow: "#7a5a0a", brightBlue: "#2a68b0", brightMagenta: "#8f3b93", brightCyan: "#156b76", brightWhite: "#1c1b19",
  scrollbarSliderBackground: "#8c867d66", scrollbarSliderHoverBackground: "#8c867d99", scrollbarSliderActiveBackground: "#8c867dcc",
};
const dark: ITheme = {
  background: "#151413", foreground: "#ecebe8", cursor: "#f0a860", cursorAccent: "#151413", selectionBackground: "#5a4326", selectionForeground: "#ffffff",
  black: "#3b3732", red: "#f6968c", green: "#7fd19b", yellow: "#e5bf62", blue: "#8fc0f5", magenta: "#dea3e0", cyan: "#7cd0da", white: "#d6d3cd",
  brightBlack: "#8f8a82", brightRed: "#ffb0a8", brightGreen: "#9be3b3", brightYellow: "#f5d584", brightBlue: "#b0d4fb", brightMagenta: "#edc0ee", brightCyan: "#a0e4ec", brightWhite: "#ffffff",
  scrollbarSliderBackground: "#7b766e66", scrollbarSliderHoverBackground: "#7b766e99", scrollbarSliderActiveBackground: "#7b766ecc",
};

const system = matchMedia("(prefers-color-scheme: dark)");

function colours(): ITheme {
  const chosen = document.documentElement.dataset.theme;
  return chosen === "dark" || (!chosen && system.matches) ? dark : light;
}

/** followColours calls f whenever the colours may be others. What it returns ends that. */
function followColours(f: () => void): () => void {
  system.addEventListener("change", f);
  addEventListener("adit:theme", f);
  return () => {
    system.removeEventListener("change", f);
    removeEventListener("adit:theme", f);
  };
}

// As much of what was is kept to be scrolled to; the workspace keeps as many bytes at most.
const scrollback = 10_000;

export interface Shown {
  term: Terminal;
  search: SearchAddon;
  fit(): void;
  dispose(): void;
}

/** show makes a terminal in a part of the page. */
export function show(parent: HTMLElement, o: { forReaders: boolean; leave: () => void; find: () => void }): Shown {
  const term = new Terminal({
    allowProposedApi: true, // for Unicode 11
    documentOverride: terminalDocument(),
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
    fontSize: 14,
    lineHeight: 1.15,
    theme: colours(),
    minimumContrastRatio: 4.5,
    scrollback,
    cursorBlink: false,
    screenReaderMode: o.forReaders,
    macOptionIsMeta: true,
  });
  const fit = new FitAddon();
  const search = new SearchAddon();
  term.loadAddon(fit);
  term.loadAddon(search);
  term.loadAddon(new Unicode11Addon());
  term.unicode.activeVersion = "11";
  term.loadAddon(new WebLinksAddon());
  draw(term);
  term.open(parent);
  const stop = followColours(() => (term.options.theme = colours()));
  term.attachCustomKeyEventHandler((e) => {
    if (e.type !== "keydown" || !(e.ctrlKey && e.shiftKey)) return true;
    if (e.code === "KeyC" && term.hasSelection()) document.execCommand("copy"); // also without HTTPS
    else if (e.code === "KeyF") o.find();
    else if (e.code === "ArrowUp") o.leave(); // Tab is the workspace's, so another key leads on
    else return true;
    e.preventDefault();
    return false;
  });
  return {
    term,
    search,
    fit: () => {
      const to = fit.proposeDimensions();
      if (to && to.cols > 1 && to.rows > 0 && parent.clientWidth > 0) fit.fit();
    },
    dispose: () => {
      stop();
      term.dispose();
    },
  };
}

// What browsers call those that draw by the processor. That it is slow they do not say everywhere.
const bySoftware = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/** hasCard reports whether a graphics card draws what WebGL is told to. */
function hasCard(): boolean {
  const gl = document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  const about = gl?.getExtension("WEBGL_debug_renderer_info");
  const is = gl !== null && !(about && bySoftware.test(String(gl.getParameter(about.UNMASKED_RENDERER_WEBGL))));
  gl?.getExtension("WEBGL_lose_context")?.loseContext(); // browsers let a page have few
  return is;
}

/**
 * draw has the terminal drawn by WebGL where a graphics card does that, and as long as
 * it does: by the processor it is four times slower than text that the browser lays out.
 */
function draw(term: Terminal): void {
  if (!hasCard()) return allowStyles();
  const gl = new WebglAddon();
  gl.onContextLoss(() => {
    allowStyles();
    gl.dispose();
  });
  term.loadAddon(gl);
}
