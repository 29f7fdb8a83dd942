// The page's own way to a workspace, peer to peer: WebRTC, by the coordinator's leave.
// What the two say to find each other goes over a WebSocket; the peer connection lives
// for as long as that does, and is made anew when it breaks.
import { api, ask } from "../api";

interface Signal {
  kind: "offer" | "answer" | "candidate" | "failed";
  sdp?: string;
  candidate?: string;
  mid?: string | null;
  line?: number | null;
  again?: boolean;
}

// How soon another attempt follows one that failed. Who has no direct way has the
// coordinator's meanwhile.
const soonest = 2000;
const latest = 60_000;
// How long a way may be silent, after the browser has noticed, before another is looked
// for: with a connection of its own, for the agent's end holds on to what it had.
const silentFor = 1500;

export interface How {
  relayed: boolean;
  rtt?: number;
}

export class Peer {
  private ws?: WebSocket;
  private pc?: RTCPeerConnection;
  private pause = soonest;
  private retry?: ReturnType<typeof setTimeout>;
  private silent?: ReturnType<typeof setTimeout>;
  private closed = false;
  private readonly followers = new Set<() => void>();

  constructor(private readonly at: string) {
    addEventListener("online", this.moved);
    (navigator as { connection?: EventTarget }).connection?.addEventListener("change", this.moved);
    void this.start();
  }

  /** follow calls f whenever the way is there. What it returns ends that. */
  follow(f: () => void): () => void {
    this.followers.add(f);
    return () => this.followers.delete(f);
  }

  /** open opens a channel, if there is a way. */
  open(label: string): RTCDataChannel | undefined {
    if (this.pc?.connectionState !== "connected") return undefined;
    return this.pc.createDataChannel(label);
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
    ws.onopen = () => ws === this.ws && this.offer(ws, iceServers);
    ws.onmessage = (e: MessageEvent<string>) => ws === this.ws && void this.hear(JSON.parse(e.data) as Signal).catch(() => this.again());
    ws.onclose = () => ws === this.ws && this.again();
  }

  private offer(ws: WebSocket, iceServers: RTCIceServer[]): void {
    const pc = new RTCPeerConnection({ iceServers });
    this.pc = pc;
    const say = (m: Signal) => ws.readyState === WebSocket.OPEN && ws.send(JSON.stringify(m));
    pc.onicecandidate = ({ candidate: c }) => c && c.candidate && say({ kind: "candidate", candidate: c.candidate, mid: c.sdpMid, line: c.sdpMLineIndex });
    pc.onnegotiationneeded = async () => {
      try {
        await pc.setLocalDescription();
        say({ kind: "offer", sdp: pc.localDescription!.sdp });
      } catch {
        this.again();
      }
    };
    pc.onconnectionstatechange = () => {
      if (pc !== this.pc) return;
      clearTimeout(this.silent);
      switch (pc.connectionState) {
        case "connected":
          this.pause = soonest;
          for (const f of this.followers) f();
          break;
        case "disconnected":
          this.silent = setTimeout(() => this.again(0), silentFor);
          break;
        case "failed":
          this.again();
      }
    };
    pc.createDataChannel("hold"); // an offer has to offer something
  }

  private async hear(m: Signal): Promise<void> {
    switch (m.kind) {
      case "answer":
        await this.pc?.setRemoteDescription({ type: "answer", sdp: m.sdp! });
        break;
      case "candidate":
        await this.pc?.addIceCandidate({ candidate: m.candidate!, sdpMid: m.mid, sdpMLineIndex: m.line });
        break;
      case "failed":
        if (!m.again) this.close();
    }
  }

  // The network is another: look for another way at once.
  private readonly moved = (): void => {
    if (this.closed) return;
    this.pause = soonest;
    this.again(0);
  };

  private again(after = this.pause): void {
    this.drop();
    if (this.closed) return;
    clearTimeout(this.retry);
    this.retry = setTimeout(() => void this.start(), after);
    this.pause = Math.min(latest, this.pause * 2);
  }

  private drop(): void {
    clearTimeout(this.silent);
    const { ws, pc } = this;
    this.ws = this.pc = undefined;
    ws?.close();
    pc?.close();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.retry);
    removeEventListener("online", this.moved);
    (navigator as { connection?: EventTarget }).connection?.removeEventListener("change", this.moved);
    this.drop();
  }
}
