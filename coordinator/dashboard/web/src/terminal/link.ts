// A terminal's way to its session: a WebSocket to the coordinator at first, a channel of
// the page's peer connection once there is one, and the WebSocket again when that breaks.
// The session is the workspace's and goes on; what it has shown lately is shown again.
// How the two ends speak says pkg/terminal.
import type { How, Peer } from "./peer";

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
  | { is: "open"; path?: string; rtt?: number; ping?: number; direct?: How }
  | { is: "ended"; why?: string };

export interface Screen {
  /** show shows bytes and calls done once they are on the screen. */
  show(p: Uint8Array, done: () => void): void;
  /** clear forgets everything: the session is about to show it again. */
  clear(): void;
  state(s: State): void;
}

type Wire = WebSocket | RTCDataChannel;

function isOpen(w: Wire | undefined): w is Wire {
  return w !== undefined && (w.readyState === WebSocket.OPEN || w.readyState === "open");
}

/** Where is how to get to a session. */
export interface Where {
  url(columns: number, rows: number): string;
  label(columns: number, rows: number): string;
  peer?: Peer;
}

export class Link {
  private wire?: Wire;
  private direct = false;
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

  private peer?: Peer;
  private unfollow?: () => void;

  constructor(private readonly at: Where, private readonly screen: Screen, columns: number, rows: number) {
    this.size = [columns, rows];
    this.beat = setInterval(() => this.ping(), pingEvery);
    addEventListener("online", this.again);
    addEventListener("offline", this.lost);
    this.open();
  }

  /** by says which peer connection the page has. */
  by(peer: Peer | undefined): void {
    if (this.closed || peer === this.peer) return;
    this.peer = peer;
    this.unfollow?.();
    const straight = () => {
      const channel = this.direct ? undefined : peer?.open(this.at.label(...this.size));
      if (channel) this.attach(channel, true);
    };
    this.unfollow = peer?.follow(straight);
    straight();
  }

  private open(): void {
    clearTimeout(this.retry);
    const channel = this.peer?.open(this.at.label(...this.size));
    const wire = channel ?? new WebSocket(this.at.url(...this.size));
    this.wire = wire;
    this.direct = channel !== undefined;
    this.attach(wire, this.direct);
  }

  /** attach listens to a wire. One that is not ours yet becomes it with what it shows first. */
  private attach(wire: Wire, direct: boolean): void {
    wire.binaryType = "arraybuffer";
    let fresh = true;
    wire.onopen = () => wire === this.wire && this.begin();
    wire.onmessage = (e: MessageEvent<ArrayBuffer | string>) => {
      if (wire !== this.wire) {
        if (!fresh || this.closed || typeof e.data === "string") return wire.close(); // ours was replaced, or there is no session that way
        const old = this.wire;
        this.wire = wire;
        this.direct = direct;
        old?.close();
        this.begin();
      }
      this.heard = Date.now();
      if (typeof e.data === "string") return this.told(JSON.parse(e.data) as Message);
      if (fresh) {
        fresh = false;
        this.pause = soonest;
        this.screen.clear();
        if (this.state.is !== "open") this.become({ is: "open" });
      }
      const p = new Uint8Array(e.data);
      this.screen.show(p, () => wire === this.wire && this.took(p.length));
    };
    wire.onclose = () => wire === this.wire && this.broke();
  }

  private begin(): void {
    this.under = this.taken = 0;
    this.pinged = this.heard = Date.now();
    this.send({ kind: "size", columns: this.size[0], rows: this.size[1] });
    this.send({ kind: "ping" });
    this.pump();
  }

  private told(m: Message): void {
    switch (m.kind) {
      case "pong":
        void this.measured(m, Date.now() - this.pinged);
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

  private async measured(m: Message, ping: number): Promise<void> {
    const direct = this.direct ? await this.peer?.how() : undefined;
    if (!this.closed && isOpen(this.wire)) this.become({ is: "open", path: m.path, rtt: m.rtt_ms, ping, direct });
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
    while (isOpen(this.wire) && this.typed.length > 0 && this.under < roomFor) {
      const p = this.typed.shift()!;
      this.kept -= p.length;
      this.under += p.length;
      (this.wire as WebSocket).send(p as Uint8Array<ArrayBuffer>); // a channel takes the same
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
    if (isOpen(this.wire)) this.wire.send(JSON.stringify(m));
  }

  // Only what answers is there: a network that is gone closes no connection.
  private ping(): void {
    if (!isOpen(this.wire)) return;
    if (this.pinged > this.heard) return this.lost();
    this.pinged = Date.now();
    this.send({ kind: "ping" });
  }

  private readonly lost = (): void => {
    if (this.closed) return;
    const wire = this.wire;
    this.wire = undefined;
    wire?.close();
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
    if (this.closed || isOpen(this.wire)) return;
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
    this.unfollow?.();
    clearTimeout(this.retry);
    clearInterval(this.beat);
    removeEventListener("online", this.again);
    removeEventListener("offline", this.lost);
    const wire = this.wire;
    this.wire = undefined;
    wire?.close();
  }
}
