import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The page: its files go into the Python package. A development server asks `flowbot ui --port 8111` for data.
export default defineConfig({
  plugins: [react()],
  base: "./",
  build: {
    outDir: "../flowbot/faces/ui/static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    sourcemap: false,
    chunkSizeWarningLimit: 1500,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8111" } },
});
