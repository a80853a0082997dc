// Asks Airflow, in the name of whoever is logged in, to run the DAG that rolls back, and tells how
// it went. The session's cookie goes with the request because the page comes from the same origin;
// JSON bodies cannot be sent from another one unasked. This page's own server writes nothing.
"use strict";
(() => {
  const form = document.getElementById("rollback");
  if (!form) return;
  const outcome = form.querySelector("[role=status]");
  const button = form.querySelector("button");
  const { ticker, champion, api, dag, done, login } = form.dataset;
  const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

  const say = (tone, ...parts) => {
    outcome.className = `outcome ${tone}`;
    outcome.replaceChildren(...parts);
  };
  const way = (href, text, airflow = true) => {
    const link = Object.assign(document.createElement("a"), { href, textContent: text });
    if (airflow) Object.assign(link, { target: "_top" }).setAttribute("data-airflow", "");
    return link;
  };

  const ask = async (path, options = {}) => {
    const answer = await fetch(api + path, {
      credentials: "same-origin",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      ...options,
    });
    const body = await answer.json().catch(() => ({}));
    if (answer.ok) return body;
    const detail = typeof body.detail === "string" ? body.detail : JSON.stringify(body.detail ?? "");
    throw Object.assign(new Error(detail || answer.statusText), { status: answer.status });
  };

  const explain = (error) => {
    if (!error.status) return ["No answer came: load the page again to see what serves now."];
    if (error.status === 401) return ["You are not logged in any more: ", way(login, "log in"), "."];
    if (error.status === 403) return ["You may not start this DAG: ask somebody who may. Nothing was changed."];
    if (error.status === 404) return ["Airflow does not know the DAG: is its file parsed? Nothing was changed."];
    return [`Airflow refused: ${error.message}. Nothing was changed.`];
  };

  const runLink = (run) => way(`${dag}/runs/${encodeURIComponent(run)}`, "the run");

  const follow = async (run) => {
    const link = runLink(run);
    for (let second = 0; second < 300; second += 1) {
      const { state } = await ask(`/dagRuns/${encodeURIComponent(run)}`);
      if (state === "success") {
        say("good", "✔ Rolled back. ", way(done, `See ${ticker}`, false));
        outcome.dataset.state = "done";
        return;
      }
      if (state === "failed") {
        say("bad", "✖ The rollback failed; ", link, " says why. What served still serves.");
        return;
      }
      say("", `${state === "queued" ? "Waiting to start" : "Rolling back"} … `, link);
      await pause(1);
    }
    say("warn", "It has not ended after five minutes: look at ", link, ".");
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const why = form.elements.why.value.trim();
    let started = "";
    button.disabled = true;
    say("", "Asking Airflow …");
    try {
      const { is_paused: paused } = await ask("");
      if (paused) {
        say("warn", "The DAG is paused, so no run would start: ", way(dag, "unpause it"), " first.");
        button.disabled = false;
        return;
      }
      const conf = { ticker, champion, why };
      const run = await ask("/dagRuns", {
        method: "POST",
        body: JSON.stringify({ logical_date: null, conf }),
      });
      started = run.dag_run_id;
      await follow(started);
    } catch (error) {
      if (started) {  // it goes on whether or not this page hears of it
        say("warn", "The rollback was asked for, yet how it goes cannot be read: look at ", runLink(started), ".");
        return;
      }
      say("bad", ...explain(error));
      button.disabled = false;
    }
  });
})();
