// xterm.js writes styles into elements of the page, which the pages' policy forbids as
// it forbids all that is inline. Style sheets that a script makes are no such thing: so
// the terminal gets a document whose style elements are such sheets.

function sheetElement(): HTMLElement {
  const stand = document.createElement("span");
  stand.hidden = true;
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  Object.defineProperty(stand, "textContent", { set: (text: string) => sheet.replaceSync(text), get: () => "" });
  stand.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((s) => s !== sheet);
    HTMLElement.prototype.remove.call(stand);
  };
  return stand;
}

/** terminalDocument is the document as a terminal is to see it. */
export function terminalDocument(): Document {
  return new Proxy(document, {
    get(of, name) {
      if (name === "createElement") return (tag: string) => (tag === "style" ? sheetElement() : of.createElement(tag));
      const value: unknown = Reflect.get(of, name, of);
      return typeof value === "function" ? (value as (...a: unknown[]) => unknown).bind(of) : value;
    },
    set: (of, name, value) => Reflect.set(of, name, value, of),
  });
}

/** allowStyles has the spans of terminals take styles that are written as text: without WebGL, xterm.js colours them so. */
export function allowStyles(): void {
  const set = Element.prototype.setAttribute;
  HTMLSpanElement.prototype.setAttribute = function (this: HTMLSpanElement, name: string, value: string) {
    if (name === "style") this.style.cssText = value;
    else set.call(this, name, value);
  };
}
