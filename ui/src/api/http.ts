import { Refused, type Source, type Window } from "./source";
import type { Problem, Pulse, TryAsk, TryEnd, TryStep } from "./types";

const KEEP = "flowbot-token";

/** Take the token out of the address bar, where others could read it over a shoulder, and keep it for this tab. */
export function token(): string {
  const url = new URL(window.location.href);
  const given = url.searchParams.get("token");
  if (given !== null) {
    sessionStorage.setItem(KEEP, given);
    url.searchParams.delete("token");
    window.history.replaceState(null, "", url);
  }
  return sessionStorage.getItem(KEEP) ?? "";
}

/** The data of a server on this machine. */
export function httpSource(secret: string): Source {
  const headers = { Authorization: `Bearer ${secret}` };

  async function answer(path: string, init: RequestInit = {}): Promise<Response> {
    const response = await fetch(`api/${path}`, { ...init, headers: { ...headers, ...init.headers } });
    if (!response.ok) {
      const said: Partial<Problem> = await response.json().catch(() => ({}));
      throw new Refused(response.status, said.error ?? `the server answered ${response.status}`, said.mend ?? "");
    }
    return response;
  }

  const get = async (path: string, query: Record<string, string> = {}) => {
    const search = new URLSearchParams(query).toString();
    return (await answer(search ? `${path}?${search}` : path)).json();
  };
  const post = (path: string, body: unknown, signal?: AbortSignal) =>
    answer(path, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "Content-Type": "application/json" },
      signal: signal ?? null,
    });
  // a browser takes "." out of an address
  const of = (run: string) => `runs/${run === "." ? "~" : encodeURIComponent(run)}`;
  const each = (...parts: string[]) => parts.map(encodeURIComponent).join("/");

  return {
    live: true,
    home: () => get("home"),
    runs: () => get("runs"),
    run: (id, after) => get(of(id), after === undefined ? {} : { after: String(after) }),
    candidate: (run, id) => get(`${of(run)}/candidates/${each(id)}`),
    examples: (run, window: Window) =>
      get(`${of(run)}/examples`, {
        split: window.split,
        candidates: window.candidates.join(","),
        sort: window.sort,
        desc: window.descending ? "1" : "",
        find: window.find,
        offset: String(window.offset),
        limit: String(window.limit),
      }),
    example: (run, split, id) => get(`${of(run)}/examples/${each(split, id)}`),
    trace: (run, workflow, draw, example) => get(`${of(run)}/traces/${each(workflow, draw, example)}`),
    flow: () => get("flow"),
    follow(run, heard, lost) {
      const stop = new AbortController();
      const listen = async () => {
        while (!stop.signal.aborted) {
          try {
            const response = await answer(`${of(run)}/live`, { signal: stop.signal });
            for await (const pulse of events(response)) heard(pulse as Pulse);
          } catch (error) {
            if (stop.signal.aborted) return;
            if (error instanceof Refused && error.status < 500) return lost();
          }
          lost();
          await new Promise((wake) => setTimeout(wake, 2000));
        }
      };
      void listen();
      return () => stop.abort();
    },
    price: async (ask) => (await post("price", ask)).json(),
    async attempt(ask: TryAsk, heard, signal) {
      let end: TryEnd | null = null;
      for await (const event of events(await post("try", ask, signal))) {
        if (isStep(event)) heard(event);
        else end = event as TryEnd;
      }
      if (end === null) throw new Refused(500, "the server stopped before the workflow's end", "try again");
      return end;
    },
  };
}

function isStep(event: unknown): event is TryStep {
  return typeof event === "object" && event !== null && "path" in event;
}

/** Yield the data of server-sent events as it arrives. */
export async function* events(response: Response): AsyncGenerator<unknown> {
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop() ?? "";
    for (const part of parts) {
      const data = part
        .split("\n")
        .filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5))
        .join("\n");
      if (data) yield JSON.parse(data);
    }
  }
}
