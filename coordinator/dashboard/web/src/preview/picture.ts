// A page of a workspace's, made a picture: its text, styles and images, and nothing that
// runs. What it needs is asked for where the page itself is from.

/** Got is an answer of the port's. */
export interface Got {
  status: number;
  type: string;
  location?: string;
  body: Blob;
  direct: boolean;
}

export interface Picture {
  html: string;
  /** styles are what the page looks like, in their order; "" is for all media. */
  styles: { text: string; media: string }[];
  /** scripted says that the page is more than what is shown of it. */
  scripted: boolean;
}

// What a page may need at most; of one that needs more, some is missing.
const mostParts = 100;
// Where an element's own style waits, which it gets by the page's hand.
const styleKept = "data-own-style";
// What the policy does not let be written in a tag, and browsers complain of at each: styles
// wait under another name, and handlers have none.
const tags = /<[a-z](?:"[^"]*"|'[^']*'|[^"'>])*>/gi;
const quiet = (tag: string) => tag.replace(/([\s"'/])style(?=\s*=)/gi, `$1${styleKept}`).replace(/([\s"'/])on(?=[a-z]+\s*=)/gi, "$1data-on");
// What runs, what shows another page, and what leads away by itself.
const others = "script, base, meta[http-equiv], iframe, frame, object, embed, audio, video, link:not([rel~=stylesheet])";

/** pathOf is the path of an address at the same port; nothing if it is elsewhere. */
export function pathOf(address: string, base: URL): string | undefined {
  let to: URL;
  try {
    to = new URL(address, base);
  } catch {
    return undefined;
  }
  const here = to.protocol === "http:" && to.port === base.port && ["localhost", "127.0.0.1", "[::1]"].includes(to.hostname);
  return here ? to.pathname + to.search : undefined;
}

/** draw makes a picture of a page. get asks for a path of the same port; it may fail. */
export async function draw(text: string, at: URL, get: (path: string) => Promise<Got>): Promise<Picture> {
  const doc = new DOMParser().parseFromString(text.replace(tags, quiet), "text/html");
  let base = at;
  try {
    base = new URL(doc.querySelector("base[href]")?.getAttribute("href") ?? "", at);
  } catch {
    // one that makes no sense is none
  }
  const scripted = doc.querySelector("script") !== null;
  doc.querySelectorAll(others).forEach((e) => e.remove());

  const asked = new Map<string, Promise<Blob | undefined>>();
  const part = (address: string, from: URL): Promise<Blob | undefined> => {
    const path = pathOf(address, from);
    if (path === undefined) return Promise.resolve(undefined);
    const known = asked.get(path);
    if (known) return known;
    if (asked.size >= mostParts) return Promise.resolve(undefined);
    const got = get(path).then(
      (g) => (g.status === 200 ? new Blob([g.body], { type: g.type.split(";")[0] }) : undefined),
      () => undefined, // a page without one of its images is still one
    );
    asked.set(path, got);
    return got;
  };
  const image = async (address: string, from: URL): Promise<string | undefined> => {
    if (/^data:image\//i.test(address)) return address;
    const got = await part(address, from);
    return got?.type.startsWith("image/") ? dataOf(got) : undefined;
  };
  const css = async (text: string, from: URL): Promise<string> => {
    const found = [...text.matchAll(/url\(\s*(?:"([^"]*)"|'([^']*)'|([^"')]*))\s*\)/g)];
    const to = await Promise.all(found.map(([, a, b, c]) => image((a ?? b ?? c ?? "").trim(), from)));
    let i = 0;
    return text.replace(/url\(\s*(?:"[^"]*"|'[^']*'|[^"')]*)\s*\)/g, () => `url("${to[i++] ?? "data:,"}")`);
  };

  const styles = await Promise.all(
    [...doc.querySelectorAll<HTMLStyleElement | HTMLLinkElement>("style, link")].map(async (e) => {
      const media = e.getAttribute("media") ?? "";
      const href = e.getAttribute("href");
      e.remove();
      if (href === null) return { media, text: await css(e.textContent, base) };
      const path = pathOf(href, base);
      const sheet = path === undefined ? undefined : await part(href, base);
      return { media, text: sheet ? await css(await sheet.text(), new URL(path!, base)) : "" };
    }),
  );
  await Promise.all(
    [...doc.querySelectorAll<HTMLElement>("img, source, input[type=image]")].map(async (e) => {
      const to = e.tagName === "SOURCE" ? undefined : await image(e.getAttribute("src") ?? "", base);
      e.removeAttribute("srcset");
      if (to === undefined) e.removeAttribute("src");
      else e.setAttribute("src", to);
    }),
  );
  await Promise.all(
    [...doc.querySelectorAll<HTMLElement>(`[${styleKept}]`)].map(async (e) => e.setAttribute(styleKept, await css(e.getAttribute(styleKept)!, base))),
  );
  return { html: `<!doctype html>${doc.documentElement.outerHTML}`, styles, scripted };
}

/** dress gives a document, which shows a picture, its styles. */
export function dress(doc: Document, styles: Picture["styles"]): void {
  const Sheet = (doc.defaultView as unknown as typeof globalThis).CSSStyleSheet;
  doc.adoptedStyleSheets = styles.map(({ text, media }) => {
    const s = new Sheet({ media });
    s.replaceSync(text);
    return s;
  });
  doc.querySelectorAll<HTMLElement>(`[${styleKept}]`).forEach((e) => (e.style.cssText = e.getAttribute(styleKept)!));
}

/** dataOf is an image as an address that holds it. */
export function dataOf(of: Blob): Promise<string> {
  return new Promise((done, fail) => {
    const r = new FileReader();
    r.onload = () => done(r.result as string);
    r.onerror = () => fail(r.error ?? new Error("an image cannot be read"));
    r.readAsDataURL(of);
  });
}
