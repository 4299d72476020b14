// The page over the API: a photo in, its articles out.

import { Refused, ask, fetchPicture, keepKey, showImage } from "./api.js";
import { addressOf, card, nameOf, showArticle } from "./cards.js";
import { Tabs } from "./tabs.js";

const HOW_MANY = 48;
const RELEASE_EVERY_MS = 15000;
const TITLE = document.title;

const part = (id) => document.getElementById(id);
const tabs = new Tabs(part("categories"), part("panel"), (name) => {
  category = name;
  search();
});

let photo = null;
let category = null;
let categories = [];
let shopCategories = [];
let lastAnswer = null; // and the category it was asked for
let followed = location.search;
let running = null;
let again = null;

function say(text, bad = false) {
  part("status").textContent = text;
  part("status").classList.toggle("bad", bad);
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
    if (error.name !== "AbortError") refused(error);
    return null;
  } finally {
    if (running === own) part("results").removeAttribute("aria-busy");
  }
}

function refused(error) {
  part("results").replaceChildren();
  part("article").hidden = true;
  say(error.message, true);
  if (error instanceof Refused && error.kind === "no-key") part("key-form").hidden = false;
}

function show(file) {
  if (!file) return;
  photo = file;
  category = null;
  categories = [];
  lastAnswer = null;
  URL.revokeObjectURL(part("original").src);
  part("original").src = URL.createObjectURL(file);
  for (const id of ["overlay", "overlay-choice"]) part(id).hidden = true;
  part("seen").textContent = "Your photo";
  part("figure").hidden = false;
  leaveArticle();
  search();
}

async function search() {
  again = search;
  say("Searching…");
  const form = new FormData();
  form.append("photo", photo, photo.name || "pasted");
  form.append("k", HOW_MANY);
  form.append("overlay", "true");
  if (category) form.append("category", category);
  if (part("rerank").checked) form.append("rerank", "neural");
  const answer = await latest((signal) => ask("v1/search", { method: "POST", body: form, signal }));
  if (!answer) {
    if (!lastAnswer) tabs.hide();
    return;
  }
  lastAnswer = { answer, category };
  if (!category) {
    const seen = answer.results.map((one) => one.category).filter(Boolean);
    categories = [...new Set([...seen, ...shopCategories])];
  }
  showAnswer(answer);
}

function showAnswer(answer) {
  showSeen(answer);
  // The bar is made anew with each answer; the keyboard stays where it was.
  const focused = part("categories").contains(document.activeElement);
  tabs.show(categories, category);
  if (focused) part("categories").querySelector('[aria-selected="true"]')?.focus({ preventScroll: true });
  showResults(answer.results);
  const took = Math.round(Object.values(answer.took_ms).reduce((sum, ms) => sum + ms, 0));
  say(`${counted(answer.results.length)} in ${took} ms, closest first.`);
  part("status").scrollIntoView({ block: "nearest" }); // on a phone the photo fills the screen
}

function showSeen(answer) {
  part("overlay-choice").hidden = !answer.overlay;
  if (answer.overlay) part("overlay").src = answer.overlay;
  part("overlay").hidden = !answer.overlay || !part("show-overlay").checked;
  if (answer.person_found === null) part("seen").textContent = "Your photo, all of which was searched with";
  else if (!answer.person_found) part("seen").textContent = "Nobody was found in the photo, so all of it was used";
  else part("seen").textContent = `Searched with the person, ${Math.round(answer.person_share * 100)} % of the photo`;
}

function counted(number) {
  return number === 1 ? "1 article" : `${number} articles`;
}

function showResults(results) {
  part("results").replaceChildren(...results.map(card));
}

// An article has an address of its own, so that it can be shared, and the browser's back button works.
async function openArticle(articleId) {
  again = () => openArticle(articleId);
  say("Searching…");
  part("back").hidden = !lastAnswer;
  tabs.hide();
  document.title = TITLE; // not that of the article before, while this one comes or where it is refused
  const address = `v1/articles/${encodeURIComponent(articleId)}`;
  const answers = await latest((signal) =>
    Promise.all([ask(address, { signal }), ask(`${address}/similar?k=${HOW_MANY}`, { signal })]),
  );
  if (!answers) return;
  const [{ article }, similar] = answers;
  document.title = `${nameOf(article)} – ${TITLE}`;
  showArticle(article);
  part("results-heading").textContent = "Article";
  showResults(similar.results);
  say(`${counted(similar.results.length)} like it, closest first.`);
  part("results-heading").focus({ preventScroll: true });
  part("results-heading").scrollIntoView({ block: "nearest" });
}

function leaveArticle() {
  if (location.search) history.pushState(null, "", location.pathname);
  followed = location.search;
  document.title = TITLE;
  part("article").hidden = true;
  part("back").hidden = true;
  part("results-heading").textContent = "Articles";
}

function followAddress() {
  followed = location.search;
  const articleId = new URLSearchParams(location.search).get("article");
  if (articleId) {
    openArticle(articleId);
    return;
  }
  running?.abort();
  leaveArticle();
  if (lastAnswer) {
    category = lastAnswer.category;
    showAnswer(lastAnswer.answer);
  } else {
    showResults([]);
    say("No photo yet.");
  }
  part("results-heading").focus({ preventScroll: true });
}

async function share() {
  try {
    await navigator.clipboard.writeText(location.href);
    say("The link is copied.");
  } catch {
    say(`The link: ${location.href}`);
  }
}

async function showRelease() {
  try {
    const release = await ask("v1/release");
    const articles = `${release.articles.toLocaleString("en")} ${release.articles === 1 ? "article" : "articles"}`;
    part("release").textContent = `Release ${release.version}, ${release.method}, ${articles}, ${release.collection}`;
    part("rerank-choice").hidden = !release.rerankings.includes("neural");
    shopCategories = Object.keys(release.categories).filter(Boolean);
    part("key-form").hidden = true;
  } catch (error) {
    part("release").textContent = error.message;
    if (error instanceof Refused && error.kind === "no-key") part("key-form").hidden = false;
  }
}

async function showSamples() {
  const names = await ask("samples").catch(() => []);
  part("samples").querySelector("ul").replaceChildren(...names.map(sample));
  part("samples").hidden = names.length === 0;
}

function sample(name, at) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  const image = document.createElement("img");
  button.type = "button";
  image.alt = `Sample photo ${at + 1}`;
  showImage(image, `samples/${encodeURIComponent(name)}`);
  button.append(image);
  button.addEventListener("click", () => searchSample(name));
  item.append(button);
  return item;
}

async function searchSample(name) {
  const picture = await latest((signal) =>
    fetchPicture(`samples/${encodeURIComponent(name)}`, signal).catch((error) => {
      if (error.name === "AbortError") throw error;
      say("This sample cannot be had now. Try another, or a photo of your own.", true);
    }),
  );
  if (picture) show(new File([picture], name));
}

function listen() {
  for (const id of ["file", "camera"]) {
    part(id).addEventListener("change", (event) => {
      show(event.target.files[0]);
      event.target.value = "";
    });
  }
  // A file that the browser cannot show, such as TIFF, may be one that the service can read.
  part("original").addEventListener("error", () => (part("figure").hidden = true));
  part("show-overlay").addEventListener("change", (event) => (part("overlay").hidden = !event.target.checked));
  part("back").addEventListener("click", () => {
    history.pushState(null, "", location.pathname);
    followAddress();
  });
  part("share").addEventListener("click", share);
  part("rerank").addEventListener("change", () => {
    if (!photo) return;
    leaveArticle();
    search();
  });
  part("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    keepKey(part("key").value.trim());
    await showRelease();
    if (part("key-form").hidden) again ? again() : say("No photo yet.");
    else say("That key is not one of the service's.", true);
  });
  part("results").addEventListener("click", (event) => {
    const link = event.target.closest("a[data-article]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    history.pushState(null, "", addressOf(link.dataset.article));
    followAddress();
  });
  // Following a link within the page, such as the one to the results, leads nowhere else.
  window.addEventListener("popstate", () => location.search !== followed && followAddress());
  listenForFiles();
}

function listenForFiles() {
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    part("drop").classList.add("over");
  });
  document.addEventListener("dragleave", () => part("drop").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    part("drop").classList.remove("over");
    show(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => show(event.clipboardData.files[0]));
}

listen();
showRelease();
showSamples();
setInterval(showRelease, RELEASE_EVERY_MS);
if (location.search) followAddress();
