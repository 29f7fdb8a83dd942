// A terminal's way to its session: a WebSocket to the coordinator, made anew when it
// breaks. The session is the workspace's and goes on; what it has shown lately is shown
// again. How the two ends speak says pkg/terminal.

// As much may be under way in a direction, as the other end has it.
const roomFor = 512 << 10;
const tellEvery = roomFor / 8;
// What is pasted goes in pieces that let an interrupt through in between.
const piece = 16 << 10;
// What is typed while there is no connection is kept up to here.
const mostKept = 1 << 20;

const pingEvery = 5000;
const soonest = 250;
const latest = 4000;

interface Message {
  kind: "size" | "took" | "ping" | "pong" | "end" | "exit" | "failed";
  columns?: number;
  rows?: number;
  bytes?: number;
  path?: string;
  rtt_ms?: number;
  text?: string;
  again?: boolean;
}

export type State =
  | { is: "connecting"; why?: string }
  | { is: "open"; path?: string; rtt?: number; ping?: number }
  | { is: "ended"; why?: string };

export interface Screen {
  /** show shows bytes and calls done once they are on the screen. */
  show(p: Uint8Array, done: () => void): void;
  /** clear forgets everything: the session is about to show it again. */
  clear(): void;
  state(s: State): void;
}

export class Link {
  private ws?: WebSocket;
  private state: State = { is: "connecting" };
  private size: [number, number];
  private typed: Uint8Array[] = [];
  private kept = 0;
  private under = 0; // bytes typed that the other end has not taken
  private taken = 0; // bytes shown that it has not been told of
  private pause = soonest;
  private retry?: ReturnType<typeof setTimeout>;
  private readonly beat: ReturnType<typeof setInterval>;
  private heard = 0;
  private pinged = 0;
  private closed = false;

  constructor(private readonly at: (columns: number, rows: number) => string, private readonly screen: Screen, columns: number, rows: number) {
    this.size = [columns, rows];
    this.beat = setInterval(() => this.ping(), pingEvery);
    addEventListener("online", this.again);
    addEventListener("offline", this.lost);
    this.open();
  }

  private open(): void {
    clearTimeout(this.retry);
    const ws = new WebSocket(this.at(...this.size));
    ws.binaryType = "arraybuffer";
    this.ws = ws;
    let fresh = true;
    ws.onopen = () => {
      this.under = this.taken = this.pinged = 0;
      this.heard = Date.now();
      this.send({ kind: "size", columns: this.size[0], rows: this.size[1] });
      this.send({ kind: "ping" });
      this.pinged = this.heard;
      this.pump();
    };
    ws.onmessage = (e: MessageEvent<ArrayBuffer | string>) => {
      if (ws !== this.ws) return;
      this.heard = Date.now();
      if (typeof e.data === "string") return this.told(JSON.parse(e.data) as Message);
      if (fresh) {
        fresh = false;
        this.pause = soonest;
        this.screen.clear();
        if (this.state.is !== "open") this.become({ is: "open" });
      }
      const p = new Uint8Array(e.data);
      this.screen.show(p, () => ws === this.ws && this.took(p.length));
    };
    ws.onclose = () => ws === this.ws && this.broke();
  }

  private told(m: Message): void {
    switch (m.kind) {
      case "pong":
        this.become({ is: "open", path: m.path, rtt: m.rtt_ms, ping: Date.now() - this.pinged });
        break;
      case "took":
        this.under = Math.max(0, this.under - (m.bytes ?? 0));
        this.pump();
        break;
      case "exit":
        this.finish({ is: "ended" });
        break;
      case "failed":
        if (m.again) this.become({ is: "connecting", why: m.text });
        else this.finish({ is: "ended", why: m.text });
    }
  }

  private took(n: number): void {
    this.taken += n;
    if (this.taken < tellEvery) return;
    this.send({ kind: "took", bytes: this.taken });
    this.taken = 0;
  }

  /** type sends what was typed, or keeps it until there is somebody to send it to. */
  type(p: Uint8Array): void {
    if (this.closed || this.kept + p.length > mostKept + piece) return;
    for (let i = 0; i < p.length; i += piece) this.typed.push(p.subarray(i, i + piece));
    this.kept += p.length;
    this.pump();
  }

  private pump(): void {
    while (this.ws?.readyState === WebSocket.OPEN && this.typed.length > 0 && this.under < roomFor) {
      const p = this.typed.shift()!;
      this.kept -= p.length;
      this.under += p.length;
      this.ws.send(p as Uint8Array<ArrayBuffer>);
    }
  }

  resize(columns: number, rows: number): void {
    this.size = [columns, rows];
    this.send({ kind: "size", columns, rows });
  }

  /** end ends the session for everybody. */
  end(): void {
    this.send({ kind: "end" });
  }

  private send(m: Message): void {
    if (this.ws?.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify(m));
  }

  // Only what answers is there: a network that is gone closes no connection.
  private ping(): void {
    if (this.ws?.readyState !== WebSocket.OPEN) return;
    if (this.pinged > this.heard) return this.lost();
    this.pinged = Date.now();
    this.send({ kind: "ping" });
  }

  private readonly lost = (): void => {
    if (this.closed) return;
    const ws = this.ws;
    this.ws = undefined;
    ws?.close();
    this.broke();
  };

  private broke(): void {
    if (this.closed) return;
    clearTimeout(this.retry);
    if (this.state.is === "open") this.become({ is: "connecting" });
    this.retry = setTimeout(() => this.open(), this.pause);
    this.pause = Math.min(latest, this.pause * 2);
  }

  private readonly again = (): void => {
    if (this.closed || this.ws?.readyState === WebSocket.OPEN) return;
    this.pause = soonest;
    this.open();
  };

  private become(s: State): void {
    this.state = s;
    this.screen.state(s);
  }

  private finish(s: State): void {
    this.close();
    this.become(s);
  }

  /** close leaves the session, which goes on. */
  close(): void {
    this.closed = true;
    clearTimeout(this.retry);
    clearInterval(this.beat);
    removeEventListener("online", this.again);
    removeEventListener("offline", this.lost);
    const ws = this.ws;
    this.ws = undefined;
    ws?.close();
  }
}
