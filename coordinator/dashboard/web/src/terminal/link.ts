// A terminal's way to its session: a WebSocket to the coordinator at first, a channel of
// the page's peer connection once there is one, and the WebSocket again when that is
// silent. The session is the workspace's and goes on; what it has shown lately is shown
// again, by the way that becomes the terminal's with that. What is typed meanwhile waits
// until it is known what came by the way before, so that it is typed once, in its order.
// How the two ends speak says pkg/terminal.
import type { How, Peer } from "./peer";

// As much may be under way in a direction, as the other end has it.
const roomFor = 512 << 10;
const tellEvery = roomFor / 8;
// What is pasted goes in pieces that let an interrupt through in between.
const piece = 16 << 10;
// What is typed while there is no connection is kept up to here.
const mostKept = 1 << 20;
// How long the coordinator may take for what was typed before a channel takes over.
const handedOverIn = 1000;

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

/** Way is a wire; one of the peer connection has the id that it is left by. */
interface Way {
  wire: Wire;
  id?: string;
}

function isOpen(way: Way | undefined): way is Way {
  return way !== undefined && (way.wire.readyState === WebSocket.OPEN || way.wire.readyState === "open");
}

/** Where is how to get to a session. */
export interface Where {
  url(columns: number, rows: number): string;
  label(columns: number, rows: number): string;
  peer?: Peer;
}

export class Link {
  private way?: Way;
  private second?: Way; // one that becomes ours once it shows the session
  private state: State = { is: "connecting" };
  private size: [number, number];
  private typed: Uint8Array[] = [];
  private kept = 0;
  private sent: Uint8Array[] = []; // by our way, and not known to be taken
  private under = 0; // bytes of it
  private acknowledged = 0; // bytes that were taken by our way before
  private leaving?: Promise<void>; // until it is known what was taken by a way that was left
  private waits = false; // what is typed waits for another way
  private handOver?: () => void; // goes on once all is taken
  private taken = 0; // bytes shown that the other end has not been told of
  private pause = soonest;
  private retry?: ReturnType<typeof setTimeout>;
  private readonly beat: ReturnType<typeof setInterval>;
  private heard = 0;
  private pinged = 0;
  private closed = false;

  private peer?: Peer;
  private peerFails = false; // a channel was closed though there is a way
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
    this.unfollow = peer?.follow((alive) => {
      this.peerFails = false;
      if (alive) this.straight();
      else this.silent();
    });
    this.straight();
  }

  /** straight looks at the session by the peer connection, too. */
  private straight(): void {
    if (this.closed || this.way?.id !== undefined || this.second) return;
    this.attach((this.second = this.channel()));
  }

  private channel(): Way | undefined {
    const made = this.peerFails ? undefined : this.peer?.open(this.at.label(...this.size));
    return made && { wire: made.channel, id: made.id };
  }

  private socket(): Way {
    return { wire: new WebSocket(this.at.url(...this.size)) };
  }

  /** silent goes by the coordinator, for the peer connection does not answer. */
  private silent(): void {
    if (this.second?.id !== undefined) this.forget(this.second);
    if (this.closed || this.way?.id === undefined || this.second) return;
    this.leave();
    this.pinged = this.heard = Date.now(); // it gets as long as any
    this.attach((this.second = this.socket()));
  }

  private open(): void {
    clearTimeout(this.retry);
    this.way = this.channel() ?? this.socket();
    this.attach(this.way);
  }

  /** attach listens to a way. The second becomes ours with what it shows first. */
  private attach(way: Way | undefined): void {
    if (way === undefined) return;
    const { wire } = way;
    wire.binaryType = "arraybuffer";
    let fresh = true;
    let early: MessageEvent<ArrayBuffer | string>[] | undefined; // what came before it was ours
    const hear = (e: MessageEvent<ArrayBuffer | string>) => {
      this.heard = Date.now();
      if (typeof e.data === "string") return this.told(JSON.parse(e.data) as Message);
      if (fresh) {
        fresh = false;
        this.pause = soonest;
        this.screen.clear();
        if (this.state.is !== "open") this.become({ is: "open" });
      }
      const p = new Uint8Array(e.data);
      this.screen.show(p, () => way === this.way && this.took(p.length));
    };
    wire.onopen = () => way === this.way && this.begin();
    wire.onmessage = (e: MessageEvent<ArrayBuffer | string>) => {
      if (way === this.way) return hear(e);
      if (way !== this.second) return wire.close();
      if (early) return void early.push(e);
      if (typeof e.data === "string") return wire.close(); // there is no session that way
      early = [e];
      void this.settled().then(() => {
        if (way !== this.second) return;
        const old = this.way;
        this.second = undefined;
        this.way = way;
        old?.wire.close();
        this.begin();
        for (const e of early!) hear(e);
        this.straight(); // if there is a way again
      });
    };
    wire.onclose = () => {
      if (way === this.way) {
        if (way.id !== undefined) this.peerFails = true;
        this.leave();
        this.way = undefined;
        if (!this.second) this.broke(way.id === undefined ? this.pause : 0);
      } else if (way === this.second) {
        this.second = undefined;
        if (way.id !== undefined) this.peerFails = true;
        if (way.id !== undefined && this.way) this.goOn();
        else this.lost(); // the one before is silent, or gone
      }
    };
  }

  private forget(way: Way): void {
    if (way === this.second) this.second = undefined;
    if (way === this.way) this.way = undefined;
    way.wire.close();
    this.goOn();
  }

  /** leave has what was typed wait until it is known how much of it was taken by our way. */
  private leave(): void {
    const { way, peer, sent, acknowledged } = this;
    if (way?.id === undefined || this.leaving || !peer) return;
    this.waits = true;
    const leaving = peer.leave(way.id).then((taken) => {
      if (this.leaving !== leaving) return;
      this.leaving = undefined;
      if (taken !== undefined) {
        const rest = without(sent, taken - acknowledged);
        this.typed.unshift(...rest);
        this.kept += rest.reduce((n, p) => n + p.length, 0);
      }
      this.sent = [];
      this.under = this.acknowledged = 0;
      if (this.way !== way) this.goOn();
    });
    this.leaving = leaving;
  }

  /** settled waits until it is known that what was typed by our way was taken, or what was not. */
  private async settled(): Promise<void> {
    this.waits = true;
    if (this.leaving) return this.leaving;
    if (!isOpen(this.way) || this.under === 0) return;
    await new Promise<void>((done) => {
      this.handOver = done;
      setTimeout(done, handedOverIn);
    });
    this.handOver = undefined;
    // It is on its way from there.
    const rtt = this.state.is === "open" ? (this.state.rtt ?? 0) : 0;
    await new Promise((done) => setTimeout(done, rtt));
  }

  /** goOn lets what is typed go, unless it has to wait. */
  private goOn(): void {
    this.waits = this.leaving !== undefined;
    this.pump();
  }

  private begin(): void {
    this.taken = 0;
    if (!this.leaving) {
      this.sent = [];
      this.under = this.acknowledged = 0;
    }
    this.pinged = this.heard = Date.now();
    this.send({ kind: "size", columns: this.size[0], rows: this.size[1] });
    this.send({ kind: "ping" });
    this.goOn();
  }

  private told(m: Message): void {
    switch (m.kind) {
      case "pong":
        void this.measured(m, Date.now() - this.pinged);
        break;
      case "took":
        this.acknowledged += m.bytes ?? 0;
        this.sent = without(this.sent, m.bytes ?? 0);
        this.under = Math.max(0, this.under - (m.bytes ?? 0));
        if (this.under === 0) this.handOver?.();
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
    const { way } = this;
    const direct = way?.id === undefined ? undefined : await this.peer?.how();
    if (!this.closed && isOpen(way) && way === this.way) this.become({ is: "open", path: m.path, rtt: m.rtt_ms, ping, direct });
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
    while (!this.waits && isOpen(this.way) && this.typed.length > 0 && this.under < roomFor) {
      const p = this.typed.shift()!;
      this.kept -= p.length;
      this.sent.push(p);
      this.under += p.length;
      (this.way.wire as WebSocket).send(p as Uint8Array<ArrayBuffer>); // a channel takes the same
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
    if (isOpen(this.way)) this.way.wire.send(JSON.stringify(m));
  }

  // Only what answers is there: a network that is gone closes no connection.
  private ping(): void {
    if (!isOpen(this.way)) return;
    if (this.pinged > this.heard) return this.lost();
    this.pinged = Date.now();
    this.send({ kind: "ping" });
  }

  private readonly lost = (): void => {
    if (this.closed) return;
    this.leave();
    const { way, second } = this;
    this.way = this.second = undefined;
    way?.wire.close();
    second?.wire.close();
    this.broke(this.pause);
  };

  private broke(pause: number): void {
    if (this.closed) return;
    clearTimeout(this.retry);
    if (this.state.is === "open") this.become({ is: "connecting" });
    this.retry = setTimeout(() => this.open(), pause);
    this.pause = Math.min(latest, this.pause * 2);
  }

  private readonly again = (): void => {
    if (this.closed || isOpen(this.way) || this.second) return;
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
    const { way, second } = this;
    this.way = this.second = undefined;
    way?.wire.close();
    second?.wire.close();
  }
}

/** without is what a list of bytes has behind the first n. */
function without(list: Uint8Array[], n: number): Uint8Array[] {
  const rest = [...list];
  while (n > 0 && rest.length > 0) {
    const p = rest.shift()!;
    if (p.length > n) rest.unshift(p.subarray(n));
    n -= p.length;
  }
  return rest;
}
