// Predictions and self-checks: choose first, then see. The page's source is a numbered list and a
// closed answer that opens with the bold number of the right one; without this script they stay so.
// What was chosen, and which lessons are done, is kept in this browser only.
(function () {
  "use strict";

  const memory = {
    read(key) {
      try {
        return localStorage.getItem(key);
      } catch {
        return null; // private windows may forbid it: then nothing outlives the page
      }
    },
    write(key, value) {
      try {
        if (value === null) localStorage.removeItem(key);
        else localStorage.setItem(key, value);
      } catch {
        /* see above */
      }
    },
  };
  const pageOf = (address) => new URL(address, location.href).pathname.split("/").pop();
  const lesson = pageOf(location.href).replace(/\.html$/, "");
  const element = (name, properties = {}) =>
    Object.assign(document.createElement(name), properties);

  // A question that is edited is a new one: what was chosen before would mislead.
  const digest = (text) => {
    let value = 5381;
    for (const letter of text) value = ((value * 33) ^ letter.codePointAt(0)) >>> 0;
    return value.toString(36);
  };

  function upgrade(box, number) {
    const list = box.querySelector(":scope > ol");
    const folded = box.querySelector(":scope > details");
    const lead = folded && folded.querySelector("strong");
    const right = lead ? parseInt(lead.textContent, 10) : 0;
    if (!list || !(right >= 1 && right <= list.children.length)) return null;

    const isCheck = box.classList.contains("self-check");
    const key = `badsad:choice:${lesson}:${digest(box.textContent)}`;
    const choices = element("fieldset", { className: "choices" });
    const title = box.querySelector(":scope > .admonition-title");
    choices.append(
      element("legend", {
        className: "visually-hidden",
        textContent: `${title ? title.textContent : "Question"} ${number}: your answer`,
      }),
    );
    const inputs = Array.from(list.children, (item, index) => {
      const label = element("label", { className: "choice" });
      const input = element("input", {
        type: "radio",
        name: `choice-${number}`,
        value: String(index + 1),
      });
      const text = element("span");
      const only = item.children.length === 1 && item.firstElementChild.tagName === "P";
      text.append(...(only ? item.firstElementChild : item).cloneNode(true).childNodes);
      label.append(input, element("b", { textContent: `${index + 1}.` }), text);
      choices.append(label);
      return input;
    });
    const button = element("button", { type: "button", className: "choose" });
    const verdict = element("p", { className: "verdict" });
    verdict.setAttribute("role", "status");
    lead.remove(); // the verdict says it
    list.replaceWith(choices, button, verdict);
    const summary = folded.querySelector("summary");
    summary.hidden = true;

    const question = { isCheck, choice: 0, right };
    function show(choice, revealed) {
      inputs.forEach((input, index) => {
        input.checked = index + 1 === choice;
        input.disabled = revealed;
        input.parentElement.classList.toggle("is-right", revealed && index + 1 === right);
        input.parentElement.classList.toggle("is-chosen", revealed && index + 1 === choice);
      });
      button.disabled = !choice;
      button.textContent = revealed ? "Choose again" : isCheck ? "Check" : "That is my prediction";
      folded.open = revealed;
      folded.hidden = !revealed;
      question.choice = revealed ? choice : 0;
      verdict.textContent = !revealed
        ? ""
        : choice === right
          ? `You chose ${choice}, and so it is.`
          : `You chose ${choice}. It is ${right}.`;
      document.dispatchEvent(new CustomEvent("badsad:chosen"));
    }
    const chosen = () => inputs.findIndex((input) => input.checked) + 1;
    choices.addEventListener("change", () => (button.disabled = !chosen()));
    button.addEventListener("click", () => {
      const again = question.choice > 0;
      memory.write(key, again ? null : String(chosen()));
      show(again ? 0 : chosen(), !again);
      if (again) inputs[0].focus();
    });
    const before = parseInt(memory.read(key), 10);
    if (before >= 1 && before <= inputs.length) show(before, true);
    else show(0, false);
    return question;
  }

  const doneKey = (name) => `badsad:done:${name}`;

  function markContents() {
    document.querySelectorAll("nav.bd-links a[href], .bd-sidebar a[href]").forEach((link) => {
      const own = link.getAttribute("href") === "#" ? location.href : link.href;
      const name = pageOf(own).replace(/\.html$/, "");
      const done = memory.read(doneKey(name)) === "yes";
      const mark = link.querySelector(".lesson-done");
      if (done && !mark) {
        const tick = element("span", { className: "lesson-done" });
        tick.append(
          Object.assign(element("span", { textContent: " ✓" }), { ariaHidden: "true" }),
          element("span", { className: "visually-hidden", textContent: " (done)" }),
        );
        link.append(tick);
      } else if (!done && mark) mark.remove();
    });
  }

  function offerDone(questions, last) {
    const foot = element("div", { className: "lesson-end d-print-none" });
    const score = element("p");
    score.setAttribute("role", "status");
    const button = element("button", { type: "button", className: "choose" });
    foot.append(score, button);
    last.after(foot);
    function count() {
      const answered = questions.filter((one) => one.choice);
      const right = answered.filter((one) => one.choice === one.right);
      score.textContent = answered.length
        ? `${right.length} right of ${answered.length} answered, ${questions.length} in all.`
        : "";
    }
    function tell() {
      const done = memory.read(doneKey(lesson)) === "yes";
      button.textContent = done ? "Done ✓ (take the mark away)" : "Mark this lesson as done";
      button.setAttribute("aria-pressed", String(done));
      markContents();
    }
    button.addEventListener("click", () => {
      const done = memory.read(doneKey(lesson)) === "yes";
      memory.write(doneKey(lesson), done ? null : "yes");
      tell();
    });
    document.addEventListener("badsad:chosen", count);
    count();
    tell();
  }

  function start() {
    const boxes = document.querySelectorAll(
      ".bd-article .admonition.predict, .bd-article .admonition.self-check",
    );
    const questions = Array.from(boxes, (box, index) => upgrade(box, index + 1));
    const checks = questions.filter((question) => question && question.isCheck);
    const last = Array.from(document.querySelectorAll(".admonition.self-check")).pop();
    if (checks.length) offerDone(checks, last);
    else markContents();
  }

  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();
