// The page over the API: a photo in, its articles out. Addresses are relative, so a proxy may serve it below a path.

const HOW_MANY = 48;
const RELEASE_EVERY_MS = 15000;

const part = (id) => document.getElementById(id);

let photo = null;
let category = null;
let categories = [];
let lastAnswer = null;
let running = null;

function say(text, bad = false) {
  const status = part("status");
  status.textContent = text;
  status.classList.toggle("bad", bad);
}

async function ask(address, options = {}) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service did not take this, or cannot be reached. A photo may be too large for it.");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(sentence(body.detail || `${response.status} ${response.statusText}`));
  return body;
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");
}

// Only the latest question counts: an earlier one that still runs is given up.
async function latest(work) {
  running?.abort();
  const own = new AbortController();
  running = own;
  part("results").setAttribute("aria-busy", "true");
  try {
    return await work(own.signal);
  } catch (error) {
    if (error.name !== "AbortError") {
      part("results").replaceChildren();
      say(error.message, true);
    }
    return null;
  } finally {
    if (running === own) part("results").removeAttribute("aria-busy");
  }
}

function show(file) {
  if (!file) return;
  photo = file;
  category = null;
  categories = [];
  part("categories").hidden = true;
  URL.revokeObjectURL(part("original").src);
  part("original").src = URL.createObjectURL(file);
  part("segmented-figure").hidden = true;
  part("pictures").hidden = false;
  search();
}

async function search() {
  say("Searching…");
  part("back").hidden = true;
  part("results-heading").textContent = "Articles";
  const form = new FormData();
  form.append("photo", photo, photo.name || "pasted");
  form.append("k", HOW_MANY);
  form.append("segmented", "true");
  if (category) form.append("category", category);
  if (part("rerank").checked) form.append("rerank", "true");
  const answer = await latest((signal) => ask("v1/search", { method: "POST", body: form, signal }));
  if (!answer) return;
  lastAnswer = answer;
  if (!category) categories = [...new Set(answer.results.map((one) => one.category).filter(Boolean))];
  showAnswer(answer);
}

function showAnswer(answer) {
  showSegmented(answer);
  showCategories();
  showResults(answer.results);
  const took = Math.round(Object.values(answer.took_ms).reduce((sum, ms) => sum + ms, 0));
  const nobody = answer.person_found === false ? " Nobody was found in the photo, so all of it was used." : "";
  say(`${counted(answer.results.length)} in ${took} ms, closest first.${nobody}`);
}

function counted(number) {
  return number === 1 ? "1 article" : `${number} articles`;
}

function showSegmented(answer) {
  const figure = part("segmented-figure");
  figure.hidden = answer.person_found === null || !answer.segmented;
  if (figure.hidden) return;
  part("segmented").src = answer.segmented;
  part("segmented-caption").textContent = answer.person_found
    ? `Searched with: the person, ${Math.round(answer.person_share * 100)} % of the photo`
    : "Searched with: all of the photo";
}

function showCategories() {
  const bar = part("categories");
  bar.replaceChildren(...[null, ...categories].map(categoryButton));
  bar.hidden = categories.length < 2;
}

function categoryButton(name) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name ?? "All";
  button.setAttribute("aria-pressed", String(name === category));
  button.addEventListener("click", () => {
    category = name;
    for (const other of part("categories").children) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    search().then(() => focusCategory());
  });
  return button;
}

// The bar is made anew with each answer; the keyboard stays where it was.
function focusCategory() {
  if (document.activeElement === document.body) {
    part("categories").querySelector('[aria-pressed="true"]')?.focus({ preventScroll: true });
  }
}

function showResults(results) {
  part("results").replaceChildren(...results.map(card));
}

function card(article) {
  const item = part("card").content.cloneNode(true);
  const name = article.name || article.article_id;
  const image = item.querySelector("img");
  if (article.image_url) image.src = article.image_url;
  image.alt = article.image_url ? `${name}, ${article.category || "article"}` : "No image";
  item.querySelector(".name").textContent = name;
  item.querySelector(".category").textContent = article.category;
  item.querySelector(".score").textContent = article.score.toFixed(3);
  item.querySelector(".score").title = "Similarity: 1 is the same";
  const button = item.querySelector("button");
  button.title = "Show similar articles";
  button.addEventListener("click", () => similar(article));
  return item;
}

async function similar(article) {
  const name = article.name || article.article_id;
  say("Searching…");
  const address = `v1/articles/${encodeURIComponent(article.article_id)}/similar?k=${HOW_MANY}`;
  const answer = await latest((signal) => ask(address, { signal }));
  part("back").hidden = !lastAnswer;
  if (!answer) return;
  part("categories").hidden = true;
  part("results-heading").textContent = `Similar to ${name}`;
  part("results-heading").focus({ preventScroll: true });
  part("results-heading").scrollIntoView({ block: "nearest" });
  showResults(answer.results);
  say(`${counted(answer.results.length)}, closest first.`);
}

function back() {
  running?.abort();
  part("back").hidden = true;
  part("results-heading").textContent = "Articles";
  showAnswer(lastAnswer);
  part("results-heading").focus({ preventScroll: true });
}

async function showRelease() {
  try {
    const release = await ask("v1/release");
    const articles = `${release.articles.toLocaleString("en")} ${release.articles === 1 ? "article" : "articles"}`;
    part("release").textContent = `Release ${release.version}, ${release.method}, ${articles}, ${release.collection}`;
    part("rerank-choice").hidden = !release.reranks;
  } catch (error) {
    part("release").textContent = error.message;
  }
}

function listen() {
  part("file").addEventListener("change", (event) => {
    show(event.target.files[0]);
    event.target.value = "";
  });
  part("original").addEventListener("error", () => (part("pictures").hidden = true));
  part("back").addEventListener("click", back);
  part("rerank").addEventListener("change", () => photo && search());
  const drop = part("drop");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    show(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => show(event.clipboardData.files[0]));
}

listen();
showRelease();
setInterval(showRelease, RELEASE_EVERY_MS);
