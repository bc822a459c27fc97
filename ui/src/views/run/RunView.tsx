import { Link } from "wouter";
import { useRun } from "../../api/hooks";
import type { Run } from "../../api/types";
import { places } from "../../app/places";
import { Loading, Wrong } from "../../parts/Loading";
import { count } from "../../parts/words";
import { About } from "./About";
import { Candidates } from "./Candidates";
import { Failures } from "./Failures";
import { Header } from "./Header";
import { LedgerPart } from "./LedgerPart";
import { Overview } from "./Overview";
import { Updates } from "./Updates";
import "../../parts/page.css";

interface Tab {
  key: string;
  label: string;
}

function tabsOf(run: Run): Tab[] {
  const made = [
    { key: "", label: "Overview" },
    { key: "candidates", label: `Candidates ${count(run.candidates.length)}` },
  ];
  if (run.clusters.length > 0 || run.iterations.length > 0)
    made.push({ key: "failures", label: `Failures ${run.clusters.length || ""}`.trim() });
  if (run.updates.length > 0 || run.moves.length > 0) made.push({ key: "updates", label: "Updates and moves" });
  return [...made, { key: "cost", label: "Cost" }, { key: "about", label: "Settings" }];
}

/** A run: how it stands and what it came to, followed as it goes. */
export function RunView({ run: id, part = "" }: { run: string; part?: string }) {
  const { data: run, error, pulse, lost } = useRun(id);
  if (run === undefined) return error ? <Wrong error={error} /> : <Loading />;
  const tabs = tabsOf(run);
  const tab = tabs.find(({ key }) => key === part)?.key ?? "";
  return (
    <>
      {error && <Wrong error={error} />}
      <Header id={id} run={run} line={pulse?.line ?? run.line} phase={pulse ? pulse.phase : run.phase} lost={lost} />
      <nav className="fb-tabs" aria-label="Parts of the run">
        {tabs.map(({ key, label }) => (
          <Link
            key={key}
            href={places.run(id, key)}
            aria-current={key === tab ? "page" : undefined}
            data-testid={`tab-${key || "overview"}`}
          >
            {label}
          </Link>
        ))}
      </nav>
      {tab === "" && <Overview id={id} run={run} />}
      {tab === "candidates" && <Candidates id={id} run={run} />}
      {tab === "failures" && <Failures id={id} run={run} />}
      {tab === "updates" && <Updates id={id} run={run} />}
      {tab === "cost" && <LedgerPart run={run} />}
      {tab === "about" && <About id={id} run={run} />}
    </>
  );
}
