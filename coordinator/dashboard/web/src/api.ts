// What the pages ask of the coordinator. Types are made from its OpenAPI document.
import createClient from "openapi-fetch";
import type { FieldError, LogLine, Job, paths, Error as ProblemBody } from "./schema";

export const api = createClient<paths>({ baseUrl: location.origin, credentials: "same-origin" });

/** Problem is an answer that is none, with what to tell people. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly fields: FieldError[];
  constructor(status: number, body: Partial<ProblemBody>) {
    super(sentence(body.detail || body.title || "The coordinator answered with status " + status));
    this.status = status;
    this.code = body.code ?? "";
    this.fields = body.errors ?? [];
  }
  /** of returns what is wrong with a field of the request. */
  of(field: string): string | undefined {
    return this.fields.find((f) => f.location === "body." + field)?.message;
  }
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** gone is called when an answer says that nobody is signed in any more. */
let gone: () => void = () => {};
export function onSignedOut(f: () => void): void {
  gone = f;
}

/** ask waits for an answer and throws a Problem if it is none. */
export async function ask<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  let answer;
  try {
    answer = await call;
  } catch (err) {
    if (err instanceof DOMException && err.name === "AbortError") throw err;
    throw new Problem(0, { detail: "The coordinator does not answer. Are you connected?" });
  }
  if (answer.response.ok) return answer.data as T;
  throw problemOf(answer.response.status, answer.error);
}

function problemOf(status: number, body: unknown): Problem {
  if (status === 401) gone();
  return new Problem(status, typeof body === "object" && body !== null ? body : {});
}

export function message(err: unknown): string {
  return err instanceof Error ? err.message : String(err);
}

/** all follows the cursors of a list to its end, or to most items. */
export async function all<T>(
  page: (cursor?: string) => Promise<{ items: T[] | null; next_cursor?: string }>,
  most = 2000,
): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const p = await page(cursor);
    items.push(...(p.items ?? []));
    cursor = p.next_cursor;
  } while (cursor && items.length < most);
  return items;
}

export interface LogEvent {
  line?: LogLine;
  job?: Job;
}

/** followLog reads a log's lines as they come, in bunches, until it ends or the signal says so. */
export async function followLog(path: string, after: number, signal: AbortSignal, take: (events: LogEvent[]) => void): Promise<void> {
  const more = (path.includes("?") ? "&" : "?") + `follow=true&after=${after}`;
  const answer = await fetch("/api/v1/" + path + more, { signal, credentials: "same-origin" });
  if (!answer.ok || !answer.body) throw problemOf(answer.status, await answer.json().catch(() => ({})));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    const events = lines.filter((l) => l !== "").map((l) => JSON.parse(l) as LogEvent);
    if (events.length > 0) take(events);
  }
}
