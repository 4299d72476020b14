// Talking to the service. Addresses are relative, so a proxy may serve the page below a path.

const KEY = "threadline-key";

export class Refused extends Error {
  constructor(message, kind) {
    super(message);
    this.kind = kind;
  }
}

// The API key lives as long as the tab does.
export function keepKey(key) {
  sessionStorage.setItem(KEY, key);
}

function headers() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

export async function ask(address, options = {}) {
  let response;
  try {
    response = await fetch(address, { ...options, headers: headers() });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service did not take this, or cannot be reached. A photo may be too large for it.");
  }
  const body = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    if (response.ok) throw new Error("The answer broke off. Try again.");
    return {};
  });
  if (response.ok) return body;
  const kind = String(body.type || "").split(":").pop();
  throw new Refused(sentence(body.detail || `${response.status} ${response.statusText}`), kind);
}

const fetches = new WeakMap(); // what stops the fetch of an <img>

// A browser sends no key with <img>: where there is one, the picture is fetched with it. What the same <img> was to show
// before may still be on its way, and must not come later. Without an address it shows nothing.
export async function showImage(image, address) {
  fetches.get(image)?.abort();
  image.removeAttribute("src");
  if (!address) return;
  if (!sessionStorage.getItem(KEY)) {
    image.src = address;
    return;
  }
  const own = new AbortController();
  fetches.set(image, own);
  const picture = await fetchPicture(address, own.signal).catch(() => null); // then it is its name that is seen
  if (!picture || own.signal.aborted) return;
  const shown = URL.createObjectURL(picture);
  for (const end of ["load", "error"]) image.addEventListener(end, () => URL.revokeObjectURL(shown), { once: true });
  image.src = shown;
}

export async function fetchPicture(address, signal) {
  const response = await fetch(address, { headers: headers(), signal });
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  return response.blob();
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");
}
