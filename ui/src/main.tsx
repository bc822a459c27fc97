import { createRoot } from "react-dom/client";
import { httpSource, token } from "./api/http";
import { App } from "./app/App";

const root = document.getElementById("root");
if (root) createRoot(root).render(<App source={httpSource(token())} />);
