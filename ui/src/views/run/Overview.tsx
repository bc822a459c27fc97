import type { Run } from "../../api/types";
import { FrontChart } from "./FrontChart";
import { Result } from "./Result";
import { ScoreChart } from "./ScoreChart";

export function Overview({ id, run }: { id: string; run: Run }) {
  return (
    <>
      <div className={run.front.length > 0 ? "fb-columns fb-columns-wide" : "fb-columns"}>
        <ScoreChart id={id} run={run} />
        {run.front.length > 0 && <FrontChart id={id} run={run} />}
      </div>
      <Result id={id} run={run} />
    </>
  );
}
