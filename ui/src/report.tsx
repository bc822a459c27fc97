import { createRoot } from "react-dom/client";
import { embeddedSource } from "./api/embedded";
import type { ReportData } from "./api/types";
import { App } from "./app/App";

const held = document.getElementById("report")?.textContent ?? "null";
const data: ReportData | null = JSON.parse(held);
const root = document.getElementById("root");
if (root && data) createRoot(root).render(<App source={embeddedSource(data)} />);
else if (root) root.textContent = "This report holds no run.";
