// The page's own way to a workspace, peer to peer: WebRTC, by the coordinator's leave.
// What the two say to find each other goes over a WebSocket; the peer connection lives
// for as long as that does, and is made anew when it breaks. When its packets find no way
// any more, another way is looked for between the same two (ICE restart).
import { api, ask } from "../api";

interface Signal {
  kind: "offer" | "answer" | "candidate" | "leave" | "left" | "failed";
  sdp?: string;
  candidate?: string;
  mid?: string | null;
  line?: number | null;
  id?: string;
  rx?: number;
  again?: boolean;
}

// How soon another attempt follows one that failed. Who has no direct way has the
// coordinator's meanwhile.
const soonest = 2000;
const latest = 60_000;
// The other end sends back what it is sent this often. After so many that did not come
// back the way is silent: whoever uses it goes by the coordinator, and another is looked
// for. Browsers notice after 5 to 15 seconds. Beats are counted, not time, since a page
// that was busy hears late.
const beatEvery = 500;
const silentAfter = 3;
// Where the other end sends nothing back: how long after the browser has noticed.
const silentFor = 1500;
// How long an answer may take until the way that offers go is thought to be broken, and
// another way until all is made anew.
const answerIn = 3000;
const restartIn = 8000;
// How long it may take to hear what was taken of a channel that was left.
const leftIn = 5000;

export interface How {
  relayed: boolean;
  rtt?: number;
}

/** told is a way, for people; ping is the round trip where only the user of a channel knows it. */
export function told(how: How, ping?: number): string {
  return `Peer to peer, ${how.relayed ? "over a relay" : "direct"}${ms(how.rtt ?? ping)}`;
}

/** ms is a round trip, for people, behind what it is of. */
export function ms(n: number | undefined): string {
  return n ? ` ${n < 10 ? n.toFixed(1) : Math.round(n)} ms` : "";
}

/** Way is a channel, and by which name it is left. */
export interface Way {
  channel: RTCDataChannel;
  id: string;
}

export class Peer {
  /** since is when the way was first looked for, by performance.now. */
  readonly since = performance.now();
  private ws?: WebSocket;
  private pc?: RTCPeerConnection;
  private hold?: RTCDataChannel;
  private alive = false;
  private echoes = false; // the other end sends back
  private unanswered = 0; // beats
  private pause = soonest;
  private retry?: ReturnType<typeof setTimeout>;
  private patience?: ReturnType<typeof setTimeout>;
  private readonly beat: ReturnType<typeof setInterval>;
  private closed = false;
  private readonly followers = new Set<(alive: boolean) => void>();
  private readonly leaving = new Map<string, (taken: number | undefined) => void>();
  private network = networkNow();

  constructor(private readonly at: string) {
    this.beat = setInterval(() => this.ask(), beatEvery);
    addEventListener("online", this.moved);
    connection()?.addEventListener("change", this.changed);
    void this.start();
  }

  /** follow calls f whenever the way is there, or is not any more. What it returns ends that. */
  follow(f: (alive: boolean) => void): () => void {
    this.followers.add(f);
    return () => this.followers.delete(f);
  }

  /** open opens a channel, if there is a way. */
  open(label: string): Way | undefined {
    if (!this.alive || this.pc?.connectionState === "closed") return undefined;
    const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
    return { channel: this.pc!.createDataChannel(label, { protocol: id }), id };
  }

  /**
   * leave has the other end take nothing more from a channel, which may be silent, and
   * returns how many bytes it took; undefined if that cannot be known.
   */
  leave(id: string): Promise<number | undefined> {
    return new Promise((done) => {
      const timeout = setTimeout(() => tell(undefined), this.closed || !this.echoes ? 0 : leftIn);
      const tell = (taken: number | undefined) => {
        clearTimeout(timeout);
        this.leaving.delete(id);
        done(taken);
      };
      this.leaving.set(id, tell);
      this.say({ kind: "leave", id });
    });
  }

  /** how is the way that packets take. */
  async how(): Promise<How | undefined> {
    if (!this.pc) return undefined;
    const stats = await this.pc.getStats();
    for (const s of stats.values() as Iterable<RTCStats & { selectedCandidatePairId?: string }>) {
      if (s.type !== "transport" || !s.selectedCandidatePairId) continue;
      const pair = stats.get(s.selectedCandidatePairId) as { localCandidateId: string; remoteCandidateId: string; currentRoundTripTime?: number } | undefined;
      if (!pair) continue;
      const ends = [pair.localCandidateId, pair.remoteCandidateId].map((id) => (stats.get(id) as { candidateType?: string } | undefined)?.candidateType);
      return { relayed: ends.includes("relay"), rtt: pair.currentRoundTripTime === undefined ? undefined : pair.currentRoundTripTime * 1000 };
    }
    return undefined;
  }

  private async start(): Promise<void> {
    let iceServers: RTCIceServer[] = [];
    try {
      const known = await ask(api.GET("/api/v1/ice-servers"));
      iceServers = (known.ice_servers ?? []).map((s) => ({ urls: s.urls ?? [], username: s.username, credential: s.credential }));
    } catch {
      // without, who has an address of their own is found all the same
    }
    if (this.closed) return;
    const ws = new WebSocket(this.at);
    this.ws = ws;
    ws.onopen = () => {
      if (ws !== this.ws) return;
      this.offer(iceServers);
      for (const id of this.leaving.keys()) this.say({ kind: "leave", id });
    };
    ws.onmessage = (e: MessageEvent<string>) => ws === this.ws && void this.hear(JSON.parse(e.data) as Signal).catch(() => this.again());
    ws.onclose = () => ws === this.ws && this.again();
  }

  private say(m: Signal): void {
    if (this.ws?.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify(m));
  }

  private offer(iceServers: RTCIceServer[]): void {
    const pc = new RTCPeerConnection({ iceServers });
    this.pc = pc;
    this.echoes = false;
    pc.onicecandidate = ({ candidate: c }) => {
      if (pc === this.pc && c?.candidate) this.say({ kind: "candidate", candidate: c.candidate, mid: c.sdpMid, line: c.sdpMLineIndex });
    };
    pc.onnegotiationneeded = async () => {
      try {
        await pc.setLocalDescription();
        if (pc === this.pc) this.say({ kind: "offer", sdp: pc.localDescription!.sdp });
      } catch {
        if (pc === this.pc) this.again();
      }
    };
    pc.onconnectionstatechange = () => {
      if (pc !== this.pc) return;
      switch (pc.connectionState) {
        case "connected":
          this.become(true);
          break;
        case "disconnected":
          if (!this.echoes) this.wait(silentFor, () => this.silent());
          break;
        case "failed":
          this.again();
      }
    };
    // An offer has to offer something; and by this one is asked whether anybody is there.
    // What is lost of it is not to be sent again.
    this.hold = pc.createDataChannel("hold", { ordered: false, maxRetransmits: 0 });
    this.hold.onmessage = () => {
      if (pc !== this.pc) return;
      this.echoes = true;
      this.unanswered = 0;
      this.become(true);
    };
  }

  /** ask asks whether anybody is there. */
  private ask(): void {
    const { hold } = this;
    if (hold?.readyState !== "open") return;
    if (this.alive && this.echoes && this.unanswered >= silentAfter) this.silent();
    this.unanswered++;
    if (hold.bufferedAmount < 1024) hold.send("?");
  }

  private become(alive: boolean): void {
    if (alive) {
      clearTimeout(this.patience);
      this.pause = soonest;
    }
    if (alive === this.alive) return;
    this.alive = alive;
    for (const f of this.followers) f(alive);
  }

  /** silent looks for another way. */
  private silent(): void {
    this.become(false);
    this.restart();
  }

  /** restart looks for another way between the same two, by which what is under way comes, too. */
  private restart(): void {
    const { pc, ws } = this;
    if (pc === undefined || ws?.readyState !== WebSocket.OPEN || pc.connectionState === "failed") return this.again(0);
    pc.restartIce();
    this.wait(answerIn, () => {
      if (pc.signalingState !== "stable") return this.again(0);
      this.wait(restartIn - answerIn, () => this.alive || this.again(0));
    });
  }

  private wait(ms: number, then: () => void): void {
    clearTimeout(this.patience);
    this.patience = setTimeout(then, ms);
  }

  private async hear(m: Signal): Promise<void> {
    switch (m.kind) {
      case "answer":
        await this.pc?.setRemoteDescription({ type: "answer", sdp: m.sdp! });
        break;
      case "candidate":
        // One that is of no use is no reason to give up.
        await this.pc?.addIceCandidate({ candidate: m.candidate!, sdpMid: m.mid, sdpMLineIndex: m.line }).catch(() => undefined);
        break;
      case "left":
        this.leaving.get(m.id ?? "")?.((m.rx ?? 0) < 0 ? undefined : (m.rx ?? 0));
        break;
      case "failed":
        if (!m.again) this.close();
    }
  }

  // The network is another: look for another way at once.
  private readonly moved = (): void => {
    if (this.closed) return;
    this.pause = soonest;
    this.restart();
  };

  // Browsers tell of their estimates of the same network, too.
  private readonly changed = (): void => {
    const now = networkNow();
    if (now === this.network) return;
    this.network = now;
    this.moved();
  };

  private again(after = this.pause): void {
    this.drop();
    if (this.closed) return;
    clearTimeout(this.retry);
    this.retry = setTimeout(() => void this.start(), after);
    this.pause = Math.min(latest, this.pause * 2);
  }

  private drop(): void {
    clearTimeout(this.patience);
    const { ws, pc } = this;
    this.ws = this.pc = this.hold = undefined;
    this.become(false);
    ws?.close();
    pc?.close();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.retry);
    clearInterval(this.beat);
    removeEventListener("online", this.moved);
    connection()?.removeEventListener("change", this.changed);
    this.drop();
    for (const tell of this.leaving.values()) tell(undefined);
  }
}

interface NetworkInformation extends EventTarget {
  type?: string;
}

function connection(): NetworkInformation | undefined {
  return (navigator as { connection?: NetworkInformation }).connection;
}

function networkNow(): string | undefined {
  return connection()?.type;
}
