// Parts of a page that change by themselves: the server sends their HTML, already escaped. And questions
// before what cannot be undone.
(function () {
    "use strict";

    const {drawCharts} = window.board;
    const LOG = ".board-log", MOVED = "pre, .table-responsive", END = 1e9;
    drawCharts(document);
    document.querySelector(".board-places [aria-current]")?.scrollIntoView({block: "nearest", inline: "nearest"});
    document.querySelectorAll(LOG).forEach((log) => { log.scrollTop = END; });

    document.addEventListener("submit", (event) => {
        const question = event.target.dataset.confirm;
        if (question && !window.confirm(question)) {
            event.preventDefault();
        }
    });

    const status = document.querySelector("[data-live]");
    if (!status) {
        return;
    }
    const [dot, said] = status.children;
    const waiting = {}; // parts that cannot be replaced yet
    let source = null;

    function say(text, kind) {
        said.textContent = text;
        dot.className = "status-dot " + kind;
    }

    // What somebody is just marking to copy stays until they are done.
    function isMarked(part) {
        const selection = document.getSelection();
        return selection && !selection.isCollapsed && selection.containsNode(part, true);
    }

    // How far something was moved. A log that is shown to its end goes on to be.
    function place(element) {
        const {scrollLeft, scrollTop, clientHeight, scrollHeight} = element;
        const follows = element.matches(LOG) && scrollTop + clientHeight >= scrollHeight - 2;
        return [scrollLeft, follows ? END : scrollTop];
    }

    // The focus stays where it was, on a link to the same place; what was unfolded stays open, and what was moved
    // stays there.
    function replace(part, html) {
        const focused = part.contains(document.activeElement) && document.activeElement.getAttribute("href");
        const open = [...part.querySelectorAll("details")].map((details) => details.open);
        const places = [...part.querySelectorAll(MOVED)].map(place);
        part.innerHTML = html;
        part.querySelectorAll("details").forEach((details, at) => { details.open = Boolean(open[at]); });
        drawCharts(part);
        part.querySelectorAll(MOVED).forEach((element, at) => {
            [element.scrollLeft, element.scrollTop] = places[at] || [0, element.matches(LOG) ? END : 0];
        });
        if (focused) {
            const again = [...part.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused);
            if (again) {
                again.focus({preventScroll: true});
            }
        }
    }

    function show() {
        for (const name of Object.keys(waiting)) {
            const part = document.getElementById("part-" + name);
            if (part && !isMarked(part)) {
                replace(part, waiting[name]);
                delete waiting[name];
            }
        }
    }

    function connect() {
        source = new EventSource(status.dataset.live);
        source.addEventListener("open", () => say("Live", "status-dot-live"));
        source.addEventListener("parts", (event) => {
            Object.assign(waiting, JSON.parse(event.data));
            show();
        });
        source.addEventListener("error", () => {
            const ended = source.readyState === EventSource.CLOSED; // refused: it does not try again by itself
            say(ended ? "Not live: reload the page" : "Connection lost; trying again", "status-dot-error");
        });
    }

    // Nobody looks at a hidden page, so nothing is asked for it.
    document.addEventListener("visibilitychange", () => {
        source.close();
        if (document.visibilityState === "visible") {
            connect();
        }
    });
    document.addEventListener("selectionchange", show);
    connect();
}());
