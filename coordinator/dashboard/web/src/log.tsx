// Logs as they are written, stage by stage.
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { followLog, message, Problem } from "./api";
import type { Job, LogLine } from "./schema";
import { Badge, Trouble } from "./ui";

// A stage shows its newest lines: a browser that lays out a hundred thousand stops.
const shown = 1000;

interface Log {
  lines: LogLine[];
  job?: Job;
  err?: Error;
}

/** useLog reads a log and follows it, over broken connections, until its job is over. */
function useLog(path: string): Log {
  const [log, setLog] = useState<Log>({ lines: [] });
  useEffect(() => {
    const stop = new AbortController();
    const lines: LogLine[] = [];
    let after = 0;
    let over = false;
    const follow = async () => {
      while (!over && !stop.signal.aborted) {
        try {
          await followLog(path, after, stop.signal, (events) => {
            for (const e of events) {
              if (e.line) (lines.push(e.line), (after = e.line.seq));
              if (e.job) over = true;
            }
            setLog({ lines: [...lines], job: events.find((e) => e.job)?.job });
          });
        } catch (err) {
          if (stop.signal.aborted) return;
          if (err instanceof Problem && err.status >= 400 && err.status < 500) return setLog({ lines: [...lines], err });
        }
        await new Promise((done) => setTimeout(done, over ? 0 : 1000)); // as often as a log that broke off is asked for again
      }
    };
    void follow();
    return () => stop.abort();
  }, [path]);
  return log;
}

interface Stage {
  name: string;
  lines: LogLine[];
}

function stagesOf(lines: LogLine[]): Stage[] {
  const list: Stage[] = [];
  for (const l of lines) {
    let s = list.find((have) => have.name === l.stage);
    if (!s) list.push((s = { name: l.stage, lines: [] }));
    s.lines.push(l);
  }
  return list;
}

/** LogView shows a log; what says nothing yet says what it waits for. */
export function LogView({ path, waits, open = true }: { path: string; waits: string; open?: boolean }) {
  const log = useLog(path);
  const stages = stagesOf(log.lines);
  if (log.err) return <Trouble what="The log cannot be read" why={message(log.err)} />;
  if (stages.length === 0) return <p className="soft log-none">{log.job ? "The log is empty." : waits}</p>;
  return (
    <div className="log">
      {stages.map((s, i) => (
        <StageView key={s.name} of={s} last={i === stages.length - 1} job={log.job} open={open} />
      ))}
    </div>
  );
}

function StageView({ of: s, last, job, open }: { of: Stage; last: boolean; job?: Job; open: boolean }) {
  const [all, setAll] = useState(false);
  const pane = useRef<HTMLDivElement>(null);
  const end = useRef(true); // whether the reader is at the end, and stays there
  const failed = last && job !== undefined && job.status !== "succeeded";
  useLayoutEffect(() => {
    const p = pane.current;
    if (p && end.current) p.scrollTop = p.scrollHeight;
  }, [s.lines.length]);
  const lines = all ? s.lines : s.lines.slice(-shown);
  return (
    <details open={open && (last || failed) ? true : undefined}>
      <summary>
        <span className="stage">{s.name || "log"}</span>
        <span className="soft">{s.lines.length === 1 ? "1 line" : s.lines.length + " lines"}</span>
        {failed && <Badge tone="bad">{job.status}</Badge>}
      </summary>
      <div
        className="lines"
        ref={pane}
        tabIndex={0}
        role="log"
        aria-label={"Log of " + (s.name || "the agent")}
        onScroll={(e) => {
          const p = e.currentTarget;
          end.current = p.scrollHeight - p.scrollTop - p.clientHeight < 8;
        }}
      >
        {lines.length < s.lines.length && (
          <button className="quiet" onClick={() => setAll(true)}>
            Show {s.lines.length - lines.length} lines from before
          </button>
        )}
        {lines.map((l) => (
          <div key={l.seq} className={l.level}>
            {plain(l.text) || " "}
          </div>
        ))}
      </div>
    </details>
  );
}

/** plain takes a terminal's colours and movements out of a line. */
function plain(text: string): string {
  return text.replace(/\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]/g, "");
}
