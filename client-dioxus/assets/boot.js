// Starts the module. A file of its own, because the page's Content-Security-Policy allows no script inside of it.
import init from "./{{kith.js}}";

const root = document.documentElement;
try {
    const theme = localStorage.getItem("kith.theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
} catch {
    // Without storage the system's theme stays.
}

init({ module_or_path: new URL("./{{kith.wasm}}", import.meta.url) }).catch((error) => {
    const note = document.getElementById("boot-note");
    if (note) note.textContent = `Kith could not start · Kith 无法启动: ${error}`;
    console.error(error);
});
