import { ActionIcon, Anchor, Group, Text, Tooltip, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { IconMoon, IconSun } from "@tabler/icons-react";
import { useEffect } from "react";
import { Link, Redirect, Route, Switch } from "wouter";
import { useHome } from "../api/hooks";
import { Loading, Wrong } from "../parts/Loading";
import { CompareView } from "../views/compare/CompareView";
import { ExamplesView } from "../views/examples/ExamplesView";
import { ExampleView } from "../views/examples/ExampleView";
import { RunView } from "../views/run/RunView";
import { CompareRunsView } from "../views/runs/CompareRunsView";
import { RunsView } from "../views/runs/RunsView";
import { TraceView } from "../views/trace/TraceView";
import { TryView } from "../views/try/TryView";
import { FileView } from "../views/workflow/FileView";
import { WorkflowView } from "../views/workflow/WorkflowView";
import { decoded as part, places } from "./places";

/** The frame around every view: where one is, the way back, and light or dark. */
export function Shell() {
  const home = useHome();
  useEffect(() => {
    if (home.data) document.title = `${home.data.name} - FlowBot`;
  }, [home.data]);
  if (home.error) return <Wrong error={home.error} />;
  if (!home.data) return <Loading />;
  const { kind } = home.data;
  return (
    <>
      <a className="fb-skip" href="#main">
        Skip to the content
      </a>
      <header className="fb-header">
        <Group gap="md">
          <Anchor component={Link} href="/" className="fb-brand" underline="never">
            FlowBot
          </Anchor>
          <Text size="sm" c="var(--fb-quiet)">
            {home.data.name}
          </Text>
        </Group>
        <Scheme />
      </header>
      <main id="main" className="fb-main" tabIndex={-1}>
        <Switch>
          <Route path="/">
            {kind === "runs" ? (
              <RunsView />
            ) : (
              <Redirect to={kind === "run" ? places.run(".") : places.flow()} replace />
            )}
          </Route>
          <Route path="/compare-runs/:ids">{({ ids }) => <CompareRunsView ids={ids.split(",").map(part)} />}</Route>
          <Route path="/flow">
            <FileView />
          </Route>
          <Route path="/flow/try">
            <TryView run="" candidate="" />
          </Route>
          <Route path="/run/:run">{({ run }) => <RunView run={part(run)} />}</Route>
          <Route path="/run/:run/part/:part">
            {({ run, part: of }) => <RunView run={part(run)} part={part(of)} />}
          </Route>
          <Route path="/run/:run/workflow/:id/:step?">
            {({ run, id, step }) => <WorkflowView run={part(run)} id={part(id)} step={part(step)} />}
          </Route>
          <Route path="/run/:run/compare/:left/:right">
            {({ run, left, right }) => <CompareView run={part(run)} left={part(left)} right={part(right)} />}
          </Route>
          <Route path="/run/:run/examples/:split/:id">
            {({ run, split, id }) => <ExampleView run={part(run)} split={part(split)} id={part(id)} />}
          </Route>
          <Route path="/run/:run/examples/:split?">
            {({ run, split }) => <ExamplesView run={part(run)} split={part(split)} />}
          </Route>
          <Route path="/run/:run/trace/:workflow/:draw/:example">
            {({ run, workflow, draw, example }) => (
              <TraceView run={part(run)} workflow={part(workflow)} draw={part(draw)} example={part(example)} />
            )}
          </Route>
          <Route path="/run/:run/try/:id">{({ run, id }) => <TryView run={part(run)} candidate={part(id)} />}</Route>
          <Route>
            <Wrong error={new Error("there is no such page")} />
          </Route>
        </Switch>
      </main>
    </>
  );
}

function Scheme() {
  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme("light") === "dark";
  const label = dark ? "Light colours" : "Dark colours";
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" aria-label={label} onClick={() => setColorScheme(dark ? "light" : "dark")}>
        {dark ? <IconSun size={18} /> : <IconMoon size={18} />}
      </ActionIcon>
    </Tooltip>
  );
}
