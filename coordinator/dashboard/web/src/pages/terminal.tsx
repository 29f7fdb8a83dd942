// Terminals in a workspace: tabs, each with one or more beside and below each other.
import { useEffect, useRef, useState, type ReactNode } from "react";
import { Button } from "../ui";
import { Link, type State, type Where } from "../terminal/link";
import { addTab, showTab, split, useLayout, without } from "../terminal/layout";
import { ms, told as toldWay } from "../terminal/peer";
import { show, type Shown } from "../terminal/screen";
import { AgentPage } from "./agent";
import { usePeer } from "./way";
import type { Workspace } from "../schema";

export default function TerminalPage(of: { owner: string; name: string }) {
  return (
    <AgentPage of={of} what="terminal" without="Terminals are there while it runs.">
      {(w, agent, chooser) => (
        <Terminals key={agent.id} of={w} agent={agent.name}>
          {chooser}
        </Terminals>
      )}
    </AgentPage>
  );
}

const readersKey = "adit:terminal-readers";

function Terminals({ of: w, agent, children }: { of: Workspace; agent: string; children: ReactNode }) {
  const [layout, change] = useLayout(w.id + ":" + agent);
  const [titles, setTitles] = useState<Record<string, string>>({});
  const [states, setStates] = useState<Record<string, State>>({});
  const [finding, setFinding] = useState(false);
  const [forReaders, setForReaders] = useState(() => localStorage.getItem(readersKey) === "yes");
  const panes = useRef(new Map<string, Shown & { link: Link }>());
  const bar = useRef<HTMLDivElement>(null);
  const state = states[layout.session];
  const peer = usePeer(w, agent);

  useEffect(() => {
    if (!finding) panes.current.get(layout.session)?.term.focus();
  }, [layout.session, layout.at, finding]);

  const close = () => {
    panes.current.get(layout.session)?.link.end();
    change((l) => without(l, l.session));
  };
  return (
    <div className="terminals">
      <div className="terminal-bar" ref={bar}>
        <div className="terminal-tabs" role="group" aria-label="Tabs">
          {layout.tabs.map((t, i) => {
            const sessions = t.columns.flat();
            const shown = sessions.includes(layout.session) ? layout.session : sessions[0]!;
            return (
              <button key={sessions[0]} className="quiet" aria-pressed={i === layout.at} onClick={() => change((l) => showTab(l, i))}>
                <span>{titles[shown] || shown}</span>
              </button>
            );
          })}
          <Button className="quiet" aria-label="New tab" onClick={() => change(addTab)}>
            +
          </Button>
        </div>
        <div className="actions">
          {children}
          <Button className="quiet" onClick={() => change((l) => split(l, "right"))}>
            Split right
          </Button>
          <Button className="quiet" onClick={() => change((l) => split(l, "down"))}>
            Split down
          </Button>
          <Button className="quiet" aria-pressed={finding} onClick={() => setFinding(!finding)}>
            Search
          </Button>
          <Button
            className="quiet"
            aria-pressed={forReaders}
            title="Say what is shown to screen readers"
            onClick={() => {
              localStorage.setItem(readersKey, forReaders ? "no" : "yes");
              for (const p of panes.current.values()) p.term.options.screenReaderMode = !forReaders;
              setForReaders(!forReaders);
            }}
          >
            Screen reader
          </Button>
          <Button className="quiet" title="End the session with what runs in it" onClick={close}>
            Close
          </Button>
        </div>
      </div>
      {finding && <Search of={() => panes.current.get(layout.session)} done={() => setFinding(false)} />}
      {layout.tabs.map((t, i) => (
        <div className="terminal-tab" key={t.columns[0]![0]} hidden={i !== layout.at}>
          {t.columns.map((column) => (
            <div className="terminal-column" key={column[0]}>
              {(i === layout.at || panes.current.has(column[0]!) ? column : []).map((session) => (
                <Pane
                  key={session}
                  at={{
                    url: (columns, rows) => addressOf(w, agent, "terminal", { session, columns: String(columns), rows: String(rows) }),
                    label: (columns, rows) => `terminal/${session}/${columns}/${rows}`,
                    peer,
                  }}
                  name={session}
                  typedInto={session === layout.session}
                  alone={t.columns.flat().length === 1}
                  forReaders={forReaders}
                  state={states[session]}
                  keep={(p) => (p ? panes.current.set(session, p) : panes.current.delete(session))}
                  focused={() => change((l) => (l.session === session ? l : { ...l, session }))}
                  titled={(title) => setTitles((all) => ({ ...all, [session]: title }))}
                  became={(s) => setStates((all) => ({ ...all, [session]: s }))}
                  find={() => setFinding(true)}
                  leave={() => bar.current?.querySelector("button")?.focus()}
                />
              ))}
            </div>
          ))}
        </div>
      ))}
      <Keys type={(text) => panes.current.get(layout.session)?.term.input(text)} />
      <p className="terminal-state soft" role="status">
        {told(state)}
      </p>
    </div>
  );
}

function addressOf(w: Workspace, agent: string, what: string, query: Record<string, string> = {}): string {
  const at = new URL(`/api/v1/workspaces/${w.owner}/${w.name}/agents/${agent}/${what}`, location.href);
  at.protocol = at.protocol === "https:" ? "wss:" : "ws:";
  at.search = new URLSearchParams(query).toString();
  return at.href;
}

function told(s: State | undefined): string {
  if (!s || s.is === "connecting") return s?.why ? `${s.why} Trying again…` : "Connecting…";
  if (s.is === "ended") return s.why ?? "The session has ended.";
  if (s.direct) return toldWay(s.direct, s.ping);
  return [`Through the coordinator${ms(s.ping)}`, s.path && `${s.path} from there${ms(s.rtt)}`].filter(Boolean).join(", ");
}

function Pane(p: {
  at: Where;
  name: string;
  typedInto: boolean;
  alone: boolean;
  forReaders: boolean;
  state: State | undefined;
  keep: (s: (Shown & { link: Link }) | undefined) => void;
  focused: () => void;
  titled: (title: string) => void;
  became: (s: State) => void;
  find: () => void;
  leave: () => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  const latest = useRef(p);
  const latestLink = useRef<Link>(undefined);
  const [round, setRound] = useState(0);
  useEffect(() => {
    latest.current = p;
  });
  useEffect(() => {
    const parent = box.current!;
    const shown = show(parent, { forReaders: latest.current.forReaders, leave: () => latest.current.leave(), find: () => latest.current.find() });
    const { term } = shown;
    shown.fit();
    const link = new Link(latest.current.at, {
      show: (bytes, done) => term.write(bytes, done),
      clear: () => term.reset(),
      state: (s) => latest.current.became(s),
    }, term.cols, term.rows);
    const utf8 = new TextEncoder();
    const ends = [
      term.onData((text) => link.type(utf8.encode(text))),
      term.onBinary((text) => link.type(Uint8Array.from(text, (c) => c.charCodeAt(0)))),
      term.onResize(({ cols, rows }) => link.resize(cols, rows)),
      term.onTitleChange((title) => latest.current.titled(title)),
    ];
    const sized = new ResizeObserver(() => shown.fit());
    sized.observe(parent);
    latestLink.current = link;
    latest.current.keep({ ...shown, link });
    if (latest.current.typedInto) term.focus();
    return () => {
      latest.current.keep(undefined);
      sized.disconnect();
      link.close();
      for (const e of ends) e.dispose();
      shown.dispose();
    };
  }, [round]);
  useEffect(() => latestLink.current?.by(p.at.peer), [p.at.peer, round]);
  return (
    <section className={"terminal-pane" + (p.typedInto && !p.alone ? " here" : "")} aria-label={"Terminal " + p.name} onFocus={p.focused}>
      <div className="terminal-box" ref={box} />
      {p.state?.is === "ended" && (
        <div className="terminal-over">
          <span>{told(p.state)}</span> <Button onClick={() => setRound(round + 1)}>Start again</Button>
        </div>
      )}
    </section>
  );
}

function Search({ of, done }: { of: () => Shown | undefined; done: () => void }) {
  const [text, setText] = useState("");
  const [none, setNone] = useState(false);
  const go = (back: boolean, incremental = false, wanted = text) => {
    const s = of()?.search;
    if (s) setNone(wanted !== "" && !(back ? s.findPrevious(wanted) : s.findNext(wanted, { incremental })));
  };
  return (
    <form
      className="inline terminal-search"
      role="search"
      onSubmit={(e) => (e.preventDefault(), go(true))}
      onKeyDown={(e) => e.key === "Escape" && done()}
    >
      <input type="search" autoFocus aria-label="Search in what was shown" aria-invalid={none || undefined} value={text} onChange={(e) => (setText(e.target.value), go(true, true, e.target.value))} />
      <button>Before</button>
      <Button onClick={() => go(false)}>After</Button>
      <Button className="quiet" onClick={done}>
        Done
      </Button>
    </form>
  );
}

// What keyboards on screens lack.
const keys: [string, string][] = [
  ["Esc", "\x1b"],
  ["Tab", "\t"],
  ["Ctrl C", "\x03"],
  ["Ctrl D", "\x04"],
  ["↑", "\x1b[A"],
  ["↓", "\x1b[B"],
  ["←", "\x1b[D"],
  ["→", "\x1b[C"],
];
const spoken: Record<string, string> = { "↑": "Up", "↓": "Down", "←": "Left", "→": "Right" };

function Keys({ type }: { type: (text: string) => void }) {
  return (
    <div className="terminal-keys" role="group" aria-label="Keys">
      {keys.map(([label, text]) => (
        <button key={label} className="quiet" aria-label={spoken[label]} onPointerDown={(e) => e.preventDefault()} onClick={() => type(text)}>
          {label}
        </button>
      ))}
    </div>
  );
}
