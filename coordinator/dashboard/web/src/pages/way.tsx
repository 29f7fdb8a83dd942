// The page's own way to a workspace, and what people see of it.
import { useEffect, useState } from "react";
import { Peer, told, type How } from "../terminal/peer";
import type { Workspace } from "../schema";

// How often the page looks which way its bytes take: as soon, people see it change.
const lookEvery = 1000;

/** usePeer is the way to an agent for as long as the page shows; undefined where browsers have none. */
export function usePeer(of: Workspace, agent: string, port?: number): Peer | undefined {
  const [peer, setPeer] = useState<Peer>();
  const at = new URL(`/api/v1/workspaces/${of.owner}/${of.name}/agents/${agent}/peer${port ? `?port=${port}` : ""}`, location.href).href.replace(/^http/, "ws");
  useEffect(() => {
    if (!("RTCPeerConnection" in window)) return;
    const p = new Peer(at);
    setPeer(p);
    return () => p.close();
  }, [at]);
  return peer;
}

/** WayNow says which way bytes go now. */
export function WayNow({ of }: { of: Peer | undefined }) {
  const how = useHow(of);
  return <p className="way soft">{how ? told(how) : "Through the coordinator"}</p>;
}

/** useHow is the way between the page and the workspace, as it is now; undefined while there is none. */
function useHow(peer: Peer | undefined): How | undefined {
  const [how, setHow] = useState<How>();
  useEffect(() => {
    if (!peer) return;
    let ended = false;
    let alive = false;
    const look = async () => {
      const now = alive ? await peer.how() : undefined;
      if (!ended) setHow(alive ? now : undefined);
    };
    const unfollow = peer.follow((is) => ((alive = is), void look()));
    const looks = setInterval(() => alive && void look(), lookEvery);
    return () => {
      ended = true;
      unfollow();
      clearInterval(looks);
    };
  }, [peer]);
  return how;
}
