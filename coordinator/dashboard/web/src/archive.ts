// A template's files come as a gzipped tar, which browsers unpack but for the tar.

export interface TarFile {
  name: string;
  text: string | undefined; // undefined if it is no text
}

const block = 512;

/** unpack reads the regular files of a gzipped tar. */
export async function unpack(packed: Blob): Promise<TarFile[]> {
  const raw = new Uint8Array(await new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
  const files: TarFile[] = [];
  let long = "";
  for (let at = 0; at + block <= raw.length; ) {
    const head = raw.subarray(at, at + block);
    if (head.every((b) => b === 0)) break;
    const size = parseInt(text(head, 124, 12), 8) || 0;
    const body = raw.subarray(at + block, at + block + size);
    const kind = String.fromCharCode(head[156] ?? 0);
    const prefix = text(head, 257, 5) === "ustar" ? text(head, 345, 155) : "";
    const name = long || (prefix ? prefix + "/" : "") + text(head, 0, 100);
    long = "";
    if (kind === "x") long = pax(body);
    else if (kind === "L") long = text(body, 0, size);
    else if (kind === "0" || kind === "\0") files.push({ name: name.replace(/^\.\//, ""), text: decode(body) });
    at += block + Math.ceil(size / block) * block;
  }
  return files.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function text(from: Uint8Array, at: number, length: number): string {
  const field = from.subarray(at, at + length);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}

/** pax returns the path of a header that is longer than tar's own. */
function pax(body: Uint8Array): string {
  return /(?:^|\n)\d+ path=([^\n]*)\n/.exec(new TextDecoder().decode(body))?.[1] ?? "";
}

function decode(body: Uint8Array): string | undefined {
  try {
    const t = new TextDecoder("utf-8", { fatal: true }).decode(body);
    return t.includes("\0") ? undefined : t;
  } catch {
    return undefined;
  }
}

export interface DiffLine {
  kind: "same" | "gone" | "new";
  text: string;
}

// What is compared line by line, before the rest is told as gone and new.
const most = 4_000_000;

/** diff compares two texts by their longest common sequence of lines. */
export function diff(was: string, is: string): DiffLine[] {
  const a = was === "" ? [] : was.replace(/\n$/, "").split("\n");
  const b = is === "" ? [] : is.replace(/\n$/, "").split("\n");
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const same = (t: string): DiffLine => ({ kind: "same", text: t });
  return [...a.slice(0, start).map(same), ...middle(a.slice(start, a.length - end), b.slice(start, b.length - end)), ...a.slice(a.length - end).map(same)];
}

function middle(a: string[], b: string[]): DiffLine[] {
  if (a.length * b.length > most) return [...a.map((text) => ({ kind: "gone" as const, text })), ...b.map((text) => ({ kind: "new" as const, text }))];
  const wide = b.length + 1;
  const common = new Uint32Array((a.length + 1) * wide); // of what follows i and j
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i * wide + j] = a[i] === b[j] ? common[(i + 1) * wide + j + 1]! + 1 : Math.max(common[(i + 1) * wide + j]!, common[i * wide + j + 1]!);
    }
  }
  const out: DiffLine[] = [];
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    if (i < a.length && j < b.length && a[i] === b[j]) (out.push({ kind: "same", text: a[i]! }), i++, j++);
    else if (j >= b.length || (i < a.length && common[(i + 1) * wide + j]! >= common[i * wide + j + 1]!)) out.push({ kind: "gone", text: a[i++]! });
    else out.push({ kind: "new", text: b[j++]! });
  }
  return out;
}
