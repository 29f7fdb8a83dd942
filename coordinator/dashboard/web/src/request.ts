// What a page asks of a workspace itself, its files and what its ports show: over a channel
// of the peer connection, one for each request, or else by the coordinator. How the two
// ends speak says agent/browser.
import type { Peer } from "./terminal/peer";

// As much may be under way in a direction, as the other end has it: so neither the page
// nor the channel holds more of a file than this.
const roomFor = 512 << 10;
const tellEvery = roomFor / 8;
// What is sent goes in pieces that both ends take.
const piece = 32 << 10;
// How long a page may take, from when it was opened, to find its way.
const wayIn = 2000;

interface About {
  kind: "request" | "answer" | "end" | "took" | "failed";
  method?: string;
  path?: string;
  status?: number;
  headers?: Record<string, string>;
  bytes?: number;
  text?: string;
}

export interface Ask {
  method: "GET" | "PUT" | "POST" | "DELETE";
  path: string;
  body?: Blob;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** sent is called with how much of the body was taken. */
  sent?: (bytes: number) => void;
  /** again is called when all is asked for anew by another way: what was taken is of no use. */
  again: () => void;
  /** take gets what the answer brings, piece by piece, of so many bytes; -1 if nobody knows. */
  take?: (p: Uint8Array<ArrayBuffer>, of: number) => void;
}

export interface Answer {
  status: number;
  headers: Record<string, string>;
  direct: boolean;
}

/** Refused is an answer that is none, with what to tell people. */
export class Refused extends Error {}

/** Broke is a channel that broke: what was asked for may be had another way. */
class Broke extends Error {}

/** way waits a moment for the way between the two. */
async function way(peer: Peer | undefined, label: string): Promise<RTCDataChannel | undefined> {
  const made = peer?.open(label)?.channel;
  const left = peer ? peer.since + wayIn - performance.now() : 0;
  if (made || !peer || left <= 0) return made;
  await new Promise<void>((done) => {
    const unfollow = peer.follow((alive) => alive && end());
    const timeout = setTimeout(() => end(), left);
    const end = () => (unfollow(), clearTimeout(timeout), done());
  });
  return peer.open(label)?.channel;
}

/** askFiles asks for something of a workspace's files, which are at a path of the coordinator's, too. */
export async function askFiles(peer: Peer | undefined, at: string, of: Ask): Promise<Answer> {
  return (await byPeer(peer, "http/files", { ...of, path: "/v1/" + of.path })) ?? (of.body ? await sendFrom(at, of) : await readFrom(at, of));
}

/** askPort asks for what a port shows, which is at a path of the coordinator's, too. */
export async function askPort(peer: Peer | undefined, at: string, port: number, of: Ask): Promise<Answer> {
  const answer = await byPeer(peer, `http/${port}`, of);
  if (answer) return answer;
  const { status, headers } = await readFrom(`${at}?path=`, { ...of, method: "POST", path: encodeURIComponent(of.path) });
  const told: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name === "adit-content-type") told["Content-Type"] = value;
    if (name === "adit-location") told["Location"] = value;
    if (name === "adit-failed") told["Failed"] = value;
  }
  return { status, headers: told, direct: false };
}

/** byPeer asks over a channel; there is no answer where there is no way, nor one that breaks. */
async function byPeer(peer: Peer | undefined, label: string, of: Ask): Promise<Answer | undefined> {
  const channel = await way(peer, label);
  if (!channel) return undefined;
  try {
    return await overChannel(channel, of);
  } catch (err) {
    if (!(err instanceof Broke)) throw err;
    of.again();
    return undefined;
  }
}

function overChannel(channel: RTCDataChannel, of: Ask): Promise<Answer> {
  return new Promise((done, fail) => {
    const say = (m: About) => channel.readyState === "open" && channel.send(JSON.stringify(m));
    let answer: Answer | undefined;
    let length = -1;
    let taken = 0;
    let sent = 0;
    let acknowledged = 0;
    let sending = false;
    const end = (err?: Error) => {
      of.signal?.removeEventListener("abort", stop);
      channel.onclose = channel.onmessage = channel.onopen = null;
      channel.close();
      if (err) fail(err);
      else done(answer!);
    };
    const stop = () => end(new DOMException("It was stopped", "AbortError"));
    if (of.signal?.aborted) return stop();
    of.signal?.addEventListener("abort", stop);
    const send = async () => {
      const body = of.body;
      if (!body || sending) return;
      sending = true;
      while (sent < body.size && sent - acknowledged + piece <= roomFor && channel.readyState === "open") {
        const p = await body.slice(sent, sent + piece).arrayBuffer();
        if (channel.readyState !== "open") return;
        channel.send(p);
        sent += p.byteLength;
        if (sent === body.size) say({ kind: "end" });
      }
      sending = false;
    };
    channel.binaryType = "arraybuffer";
    channel.onopen = () => {
      say({ kind: "request", method: of.method, path: of.path, headers: of.headers, bytes: of.body?.size });
      void send().catch((err: unknown) => end(err instanceof Error ? err : new Error(String(err)))); // a file that is gone
    };
    channel.onclose = () => end(new Broke("The connection to the workspace broke."));
    channel.onmessage = (e: MessageEvent<ArrayBuffer | string>) => {
      if (typeof e.data !== "string") {
        const p = new Uint8Array(e.data);
        of.take?.(p, length);
        taken += p.length;
        if (taken >= tellEvery) {
          say({ kind: "took", bytes: taken });
          taken = 0;
        }
        return;
      }
      const m = JSON.parse(e.data) as About;
      switch (m.kind) {
        case "answer":
          answer = { status: m.status ?? 0, headers: m.headers ?? {}, direct: true };
          length = m.bytes ?? -1;
          break;
        case "took":
          acknowledged += m.bytes ?? 0;
          of.sent?.(acknowledged);
          void send();
          break;
        case "end":
          end(answer ? undefined : new Refused("The workspace answered with nothing."));
          break;
        case "failed":
          end(new Refused(m.text));
      }
    };
    if (channel.readyState === "open") channel.onopen(new Event("open"));
  });
}

async function readFrom(at: string, of: Ask): Promise<Answer> {
  let answer: Response;
  try {
    answer = await fetch(at + of.path, { method: of.method, headers: of.headers, signal: of.signal, credentials: "same-origin" });
  } catch (err) {
    if (of.signal?.aborted) throw err;
    throw new Refused("The coordinator does not answer. Are you connected?");
  }
  const length = Number(answer.headers.get("Content-Length") ?? -1);
  const reader = answer.body?.getReader();
  for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) of.take?.(next.value, length);
  return { status: answer.status, headers: Object.fromEntries(answer.headers), direct: false };
}

/** sendFrom sends a body by the one thing of browsers that says how far it is. */
function sendFrom(at: string, of: Ask): Promise<Answer> {
  return new Promise((done, fail) => {
    const x = new XMLHttpRequest();
    x.open(of.method, at + of.path);
    for (const [name, value] of Object.entries(of.headers ?? {})) x.setRequestHeader(name, value);
    x.responseType = "arraybuffer";
    x.upload.onprogress = (e) => of.sent?.(e.loaded);
    x.onload = () => {
      of.take?.(new Uint8Array(x.response as ArrayBuffer), -1);
      done({ status: x.status, headers: {}, direct: false });
    };
    x.onerror = () => fail(new Refused("The connection to the coordinator broke."));
    x.onabort = () => fail(new DOMException("It was stopped", "AbortError"));
    of.signal?.addEventListener("abort", () => x.abort());
    x.send(of.body);
  });
}
