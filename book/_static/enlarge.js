// A figure opens in full size at a tap, a click or Enter; Escape or another tap closes it.
(function () {
  "use strict";

  function start() {
    const figures = document.querySelectorAll(
      ".bd-article .cell_output img, .bd-article figure img",
    );
    if (!figures.length || !window.HTMLDialogElement) return;

    const dialog = document.createElement("dialog");
    dialog.className = "enlarged";
    dialog.setAttribute("aria-label", "Figure in full size");
    const close = document.createElement("button");
    close.type = "button";
    close.className = "choose";
    close.textContent = "Close";
    const frame = document.createElement("div");
    frame.tabIndex = 0; // so that the arrow keys scroll
    dialog.append(close, frame);
    document.body.append(dialog);
    dialog.addEventListener("click", (event) => {
      if (event.target !== frame) dialog.close();
    });

    figures.forEach((figure) => {
      if (figure.closest("a, button, .no-enlarge")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "enlarge";
      button.title = "Show in full size";
      button.setAttribute("aria-haspopup", "dialog");
      figure.replaceWith(button);
      button.append(figure);
      button.addEventListener("click", () => {
        const copy = figure.cloneNode();
        copy.removeAttribute("style");
        copy.removeAttribute("width");
        copy.removeAttribute("height");
        frame.replaceChildren(copy);
        dialog.showModal();
      });
    });
  }

  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();
