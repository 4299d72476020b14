// Tabs for the categories: arrow keys move, as https://www.w3.org/WAI/ARIA/apg/patterns/tabs/ says.

const ALL = "All";

export class Tabs {
  constructor(bar, panel, chosen) {
    this.bar = bar;
    this.panel = panel;
    this.chosen = chosen;
    bar.addEventListener("keydown", (event) => this.move(event));
  }

  show(names, current) {
    this.bar.replaceChildren(...[null, ...names].map((name, at) => this.tab(name, at, current)));
    this.bar.hidden = names.length < 2;
    this.panel.toggleAttribute("role", false);
    if (this.bar.hidden) {
      this.hide();
      return;
    }
    this.panel.setAttribute("role", "tabpanel");
    this.panel.setAttribute("aria-labelledby", this.bar.querySelector('[aria-selected="true"]').id);
  }

  hide() {
    this.bar.hidden = true;
    this.panel.removeAttribute("role");
    this.panel.removeAttribute("aria-labelledby");
  }

  tab(name, at, current) {
    const tab = document.createElement("button");
    const selected = name === current;
    tab.type = "button";
    tab.id = `tab-${at}`;
    tab.textContent = name ?? ALL;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", this.panel.id);
    tab.setAttribute("aria-selected", String(selected));
    tab.tabIndex = selected ? 0 : -1;
    tab.addEventListener("click", () => this.select(tab, name));
    return tab;
  }

  select(tab, name) {
    for (const other of this.bar.children) {
      other.setAttribute("aria-selected", String(other === tab));
      other.tabIndex = other === tab ? 0 : -1;
    }
    this.panel.setAttribute("aria-labelledby", tab.id);
    tab.focus({ preventScroll: true });
    this.chosen(name);
  }

  move(event) {
    const tabs = [...this.bar.children];
    const at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    tabs[(to + tabs.length) % tabs.length].click();
  }
}
