import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { viteSingleFile } from "vite-plugin-singlefile";

// The report: the same components in one file, which FlowBot puts a run's data into.
export default defineConfig({
  plugins: [react(), viteSingleFile({ removeViteModuleLoader: true })],
  base: "./",
  build: {
    outDir: "../flowbot/faces/ui/static",
    emptyOutDir: false,
    sourcemap: false,
    chunkSizeWarningLimit: 2000,
    modulePreload: false,
    rollupOptions: { input: "report.html" },
  },
});
