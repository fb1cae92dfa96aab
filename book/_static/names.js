// The copy buttons are pictures without a word: give them a name for those who cannot see them.
(function () {
  "use strict";

  function name() {
    document.querySelectorAll("button.copybtn:not([aria-label])").forEach((button) => {
      button.setAttribute("aria-label", button.dataset.tooltip || "Copy");
    });
  }

  addEventListener("load", name);
})();
