// Articles as cards in a grid, and one article in full.

import { showImage } from "./api.js";

const part = (id) => document.getElementById(id);

export function addressOf(articleId) {
  return `?article=${encodeURIComponent(articleId)}`;
}

export function card(article) {
  const item = part("card").content.cloneNode(true);
  const link = item.querySelector("a");
  link.href = addressOf(article.article_id);
  link.dataset.article = article.article_id;
  fill(item.querySelector("img"), article);
  item.querySelector(".name").textContent = nameOf(article);
  item.querySelector(".category").textContent = article.category;
  item.querySelector(".score").textContent = article.score.toFixed(3);
  item.querySelector(".score").title = "Similarity: 1 is the same";
  return item;
}

export function showArticle(article) {
  part("article-name").textContent = nameOf(article);
  fill(part("article-image"), article);
  part("article-facts").replaceChildren(...facts(article).flatMap(([name, value]) => [cell("dt", name), cell("dd", value)]));
  const shop = /^https?:\/\//.test(article.url || "") ? article.url : null;
  part("article-shop").hidden = !shop;
  if (shop) part("article-shop").href = shop;
  part("article").hidden = false;
}

export function nameOf(article) {
  return article.name || article.article_id;
}

function fill(image, article) {
  image.alt = article.image_url ? `${nameOf(article)}, ${article.category || "article"}` : "No image";
  showImage(image, article.image_url);
}

function facts(article) {
  const known = [["Article", article.article_id]];
  if (article.category) known.push(["Category", article.category]);
  if (article.price !== null) known.push(["Price", article.price.toFixed(2)]);
  if (article.in_stock !== null) known.push(["In stock", article.in_stock ? "yes" : "no"]);
  if (article.assortments.length) known.push(["Assortment", article.assortments.join(", ")]);
  return [...known, ...Object.entries(article.attributes)];
}

function cell(kind, text) {
  const element = document.createElement(kind);
  element.textContent = text;
  return element;
}
