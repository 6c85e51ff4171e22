import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// While developing, pages come from here and data from a running program.
const program = process.env.MAINSTEM ?? "http://127.0.0.1:7079";

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: "es2022",
    // The policy of the server allows no data: scripts or styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/v1": program, "/metrics": program, "/healthz": program } },
  test: { include: ["src/**/*.test.ts"] },
});
