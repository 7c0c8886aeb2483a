const get = (id) => document.getElementById(id);
const form = get("upload");
const file = get("file");
const folder = get("folder");
const options = get("options");
const problem = get("problem");
const status = get("status");
const result = get("result");
let chosenName = ""; // of a folder, or of several files; one file has its own
let pendingName = "";
let scanName = ""; // of the result that is shown

const theme = get("theme");
theme.value = document.documentElement.dataset.theme ?? "";
theme.addEventListener("change", () => {
  document.documentElement.dataset.theme = theme.value;
  try {
    localStorage.setItem("theme", theme.value);
  } catch {
    // it holds for this page alone, then
  }
});

function complain(sentence) {
  problem.textContent = sentence;
  problem.hidden = false;
  problem.scrollIntoView({ block: "nearest" });
  status.textContent = "";
}

function detailOf(request) {
  try {
    const { detail } = JSON.parse(request.responseText);
    return detail[0].toUpperCase() + detail.slice(1).replace(/\.?$/, ".");
  } catch {
    return `The service answered ${request.status} and not what was expected: try again.`;
  }
}

// A file that is dropped beside the zone would otherwise replace the page.
const carriesFile = (event) => event.dataTransfer?.types.includes("Files");
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    form.classList.toggle("over", kind === "dragover");
    if (kind === "drop") drop(event.dataTransfer);
  });
}

function choose(files, name = "") {
  if (!files.length) {
    complain("The folder holds no file.");
    return;
  }
  file.files = files;
  chosenName = name;
  file.dispatchEvent(new Event("change", { bubbles: true }));
}

// A browser hands a folder over as something that cannot be read: its files have to be asked for.
async function drop(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) {
    choose(transfer.files);
    return;
  }
  const found = new DataTransfer();
  try {
    for (const entry of entries) {
      for await (const each of filesBelow(entry)) found.items.add(each);
    }
  } catch {
    complain("The folder cannot be read: zip it, and drop the zip file.");
    return;
  }
  choose(found.files, entries[0].name);
}

async function* filesBelow(entry) {
  if (entry.isFile) {
    if (!entry.name.startsWith(".")) yield await new Promise((done, fail) => entry.file(done, fail));
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) return; // they come by the hundred
    for (const each of some) yield* filesBelow(each);
  }
}

folder.addEventListener("change", () => {
  if (folder.files.length) choose(folder.files, folder.files[0].webkitRelativePath.split("/")[0]);
  folder.value = "";
});

function isCut(event) {
  return event.detail.elt.id === "cutting";
}

document.addEventListener("htmx:confirm", (event) => {
  // a file that was taken away again is no file to send
  if (event.detail.elt === form && !file.files.length) event.preventDefault();
});

document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.elt !== form) return;
  const query = new URLSearchParams();
  for (const field of options.querySelectorAll("input")) {
    if (field.value.trim()) query.set(field.name, field.value.trim());
  }
  if (`${query}`) event.detail.path += `?${query}`;
});

function nameOfChosen() {
  return chosenName || (file.files.length > 1 ? `${file.files.length} files` : file.files[0].name);
}

document.addEventListener("htmx:beforeRequest", (event) => {
  problem.hidden = true;
  result.setAttribute("aria-busy", "true");
  if (isCut(event)) return;
  pendingName = event.detail.elt.dataset.name ?? nameOfChosen();
  chosenName = "";
  status.textContent = `Segmenting ${pendingName} …`;
});

document.addEventListener("htmx:afterRequest", (event) => {
  result.setAttribute("aria-busy", "false");
  // a request that the next one replaces ends before that has read its file: it has no status
  if (!isCut(event) && event.detail.xhr.status) file.value = "";
  if (event.detail.xhr.status >= 400) complain(detailOf(event.detail.xhr));
});

document.addEventListener("htmx:sendError", (event) => {
  if (!isCut(event)) file.value = "";
  complain("The service cannot be reached, or the connection broke: try again in a moment.");
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target === result) scanName = pendingName;
  const stem = scanName.replace(/(\.nii)?\.[^.]*$/i, "");
  for (const link of event.detail.target.querySelectorAll(".downloads a")) {
    link.download = `${stem}_${link.download}`;
  }
  if (event.detail.target === result) {
    get("result-name").textContent = ` for ${scanName}`;
    get("result-title").focus({ preventScroll: true });
    get("result-title").scrollIntoView({ block: "start" });
  } else {
    get("layer-outline").setAttribute("href", get("overlay").href);
    get("highlight").setAttribute("visibility", "hidden");
  }
  status.textContent = `${get("lesions-title").textContent}. ${get("summary").textContent}`;
});

function showThreshold() {
  const slider = get("threshold");
  get("threshold-value").textContent = Number(slider.value).toFixed(2);
  get("own-threshold").hidden = Number(slider.value) === Number(slider.dataset.own);
}

result.addEventListener("input", ({ target }) => {
  if (target.id === "threshold") showThreshold();
  if (target.dataset.layer) {
    get(`layer-${target.dataset.layer}`).setAttribute("visibility", target.checked ? "visible" : "hidden");
  }
  if (target.dataset.opacity) {
    get(`layer-${target.dataset.opacity}`).setAttribute("opacity", target.value);
    const shown = result.querySelector(`[data-layer="${target.dataset.opacity}"]`);
    if (!shown.checked) shown.click();
  }
});

result.addEventListener("click", ({ target }) => {
  if (target.id !== "own-threshold") return;
  const slider = get("threshold");
  slider.value = slider.dataset.own;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  slider.focus();
});

function highlightRow({ target }) {
  const highlight = get("highlight");
  const row = target.closest("tr[data-box]") ?? document.activeElement.closest("tr[data-box]");
  highlight?.setAttribute("visibility", row ? "visible" : "hidden");
  if (!row) return;
  const [x, y, width, height] = row.dataset.box.split(" ").map(Number);
  const margin = 4;
  const sides = { x: x - margin, y: y - margin, width: width + 2 * margin, height: height + 2 * margin };
  for (const [name, value] of Object.entries(sides)) highlight.setAttribute(name, value);
}
for (const kind of ["mouseover", "focusin", "click"]) document.addEventListener(kind, highlightRow);
