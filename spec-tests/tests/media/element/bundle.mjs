// Makes one script for a browser out of Element Web's sources, which webpack makes into its app: `bundle.mjs FOLDER`.
import { readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const folder = process.argv[2];
const nothing = { contents: "module.exports = {}" };
const words = `
    export const KEY_SEPARATOR = "|";
    export const normalizeLanguageKey = (key) => key;
    export const getNormalizedLanguageKeys = (key) => [key];`;

// Pictures, voice messages and languages are not what is tested.
const without = {
    name: "without",
    setup({ onLoad, onResolve }) {
        const left = /^(fs|path|util|crypto|os|stream)$|opus-recorder|RecorderWorklet$|^\$webapp|icons\/error-solid$/;
        onResolve({ filter: left }, ({ path }) => ({ path, namespace: "nothing" }));
        onResolve({ filter: /^matrix-web-i18n$/ }, ({ path }) => ({ path, namespace: "words" }));
        onLoad({ filter: /.*/, namespace: "nothing" }, () => nothing);
        onLoad({ filter: /.*/, namespace: "words" }, () => ({ contents: words }));
        onLoad({ filter: /\.svg$/ }, () => ({ contents: 'export default ""; export const Icon = () => null' }));
    },
};

await build({
    entryPoints: {
        element: "element.js",
        "blurhash.worker": "matrix-react-sdk/src/workers/blurhash.worker.ts",
    },
    bundle: true,
    format: "esm",
    outdir: folder,
    platform: "browser",
    mainFields: ["browser", "module", "main"],
    banner: { js: "globalThis.process ??= { env: {} };" },
    define: { global: "self", "process.env.NODE_ENV": '"production"' },
    jsx: "transform",
    tsconfigRaw: { compilerOptions: { experimentalDecorators: true, useDefineForClassFields: true } },
    loader: Object.fromEntries(
        ["css", "pcss", "png", "gif", "ogg", "mp3", "wasm", "woff2", "ttf"].map((type) => [`.${type}`, "empty"]),
    ),
    plugins: [without],
    logLevel: "error",
});
const script = `${folder}/element.js`;
writeFileSync(script, readFileSync(script, "utf8").replaceAll("./blurhash.worker.ts", "./blurhash.worker.js"));
