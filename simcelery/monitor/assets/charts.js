// Charts, drawn with uPlot. An element with data-chart has the kind of its chart and its numbers, as JSON;
// what they say stands beside it in words and tables, too.
(function () {
    "use strict";

    const drawn = new Map(); // the charts of this page, by kind

    // Colours are those of the page, light or dark.
    function colour(name) {
        return () => getComputedStyle(document.querySelector(".board-page")).getPropertyValue(name).trim();
    }

    function inWords(seconds) {
        const [unit, length] = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]].find(
            ([, length]) => seconds >= length) || ["ms", 0.001];
        return Number((seconds / length).toPrecision(3)) + " " + unit;
    }

    const clock = uPlot.fmtDate("{HH}:{mm}");

    function brief(number) {
        const text = number === null ? "" : String(Number(number.toPrecision(6)));
        return text.length > 8 ? number.toExponential(1) : text;
    }

    function axis(more) {
        const thin = {stroke: colour("--bs-border-color"), width: 1};
        return {stroke: colour("--flower-text-muted"), grid: thin, ticks: thin, font: "12px system-ui", ...more};
    }

    const WHOLE = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6].flatMap((ten) => [ten, 2 * ten, 5 * ten]);
    const LASTING = [1e-3, 0.01, 0.1, 1, 5, 15, 60, 300, 900, 3600, 5 * 3600, 86400, 5 * 86400, 30 * 86400];
    const fromZero = {range: (_, least, most) => [0, 1.05 * (most || 1)]};

    // The scale and the axis of a parameter or a result; of texts, numbers of their names; below with
    // room for marks, if there are any.
    function scaleOf({names, log}, marks) {
        return {time: false, distr: log ? 3 : 1, range: (_, least, most) => {
            if (names) {
                return [-0.5, names.length - 0.5];
            }
            const below = marks ? 3 : 1; // where the marks are
            const margin = 0.03 * (most - least) || Math.abs(least) / 10 || 1;
            return log ? [least / 1.2 ** below, most * 1.2] : [least - below * margin, most + margin];
        }};
    }

    function axisOf({title, names, log}, more) {
        return axis({label: title + (log ? " (logarithmic)" : ""), labelFont: "600 12px system-ui", size: 60,
            ...(names ? {incrs: WHOLE} : {}),
            values: (_, ticks) => ticks.map((tick) => names ? (names[tick] ?? "").slice(0, 12) : brief(tick)),
            ...more});
    }

    // Jobs without a value on the second axis stand on the first one.
    function place(chart, at) {
        const y = chart.data.slice(1).find((values) => values[at] !== null)?.[at] ?? null;
        return [chart.valToPos(chart.data[0][at], "x"), y === null ? chart.over.clientHeight : chart.valToPos(y, "y")];
    }

    function isMark([, ...values], at) {
        return values.every((some) => some[at] === null);
    }

    function drawMarks(chart, {state, states}) {
        const {ctx, bbox} = chart;
        chart.data[0].forEach((x, at) => {
            if (isMark(chart.data, at)) {
                ctx.fillStyle = colour("--board-" + states[state[at]])();
                ctx.fillRect(chart.valToPos(x, "x", true) - 1.5, bbox.top + bbox.height - 14, 3, 14);
            }
        });
    }

    function nearest(chart, event) {
        let found = null, least = 12; // pixels
        chart.data[0].forEach((_, at) => {
            const [x, y] = place(chart, at);
            const distance = Math.hypot(x - event.offsetX, y - event.offsetY);
            if (distance < least) {
                [found, least] = [at, distance];
            }
        });
        return found;
    }

    // What is pointed at is told below, and opened by a click.
    function follow(chart, {ids, state, states}) {
        const element = chart.root.parentElement, said = element.nextElementSibling, advice = said.textContent;
        chart.over.addEventListener("mousemove", (event) => {
            const at = nearest(chart, event);
            said.textContent = at === null ? advice : `Job ${ids[at]}, ${states[state[at]]}`;
            chart.over.classList.toggle("board-points-at", at !== null);
        });
        chart.over.addEventListener("click", (event) => {
            const at = nearest(chart, event);
            if (at !== null) {
                window.location = element.dataset.link.replace(/0$/, ids[at]);
            }
        });
    }

    const KINDS = {
        sweep: (told) => ({
            height: 420,
            legend: {live: false},
            cursor: {x: false, y: false, points: {show: false}, drag: {x: true, y: true}},
            scales: {x: scaleOf(told.x), y: scaleOf(told.y, told.lines[0].some((_, at) => isMark(told.lines, at)))},
            axes: [axisOf(told.x, {}), axisOf(told.y, {size: 80})],
            series: [{label: ""}, ...told.states.map((state) => ({
                label: state.replace("_", " "), stroke: colour("--board-" + state), paths: () => null,
                points: {show: true, size: 7, width: 1.5, fill: colour("--board-" + state)},
            }))],
            hooks: {draw: [(chart) => drawMarks(chart, told)], ready: [(chart) => follow(chart, told)]},
        }),
        hour: () => ({
            height: 200,
            scales: {jobs: fromZero, seconds: fromZero},
            axes: [
                axis({values: "{HH}:{mm}"}),
                axis({scale: "jobs", incrs: WHOLE}),
                axis({scale: "seconds", side: 1, grid: {show: false}, size: 70, incrs: LASTING,
                    values: (_, ticks) => ticks.map((tick) => tick ? inWords(tick) : "0")}),
            ],
            series: [
                {label: "from", value: (_, seconds) => seconds === null ? "" : clock(new Date(1000 * seconds))},
                {label: "finished", scale: "jobs", value: (_, jobs) => jobs ?? "",
                    fill: colour("--flower-success"), points: {show: false},
                    paths: uPlot.paths.bars({size: [0.8, 100]})},
                {label: "waited", scale: "seconds", stroke: colour("--flower-warning"), width: 2, spanGaps: true,
                    value: (_, seconds, series, at) => at === null ? "" : seconds === null ? "–" : inWords(seconds)},
            ],
        }),
    };

    function draw(element) {
        const told = JSON.parse(element.dataset.chart), {kind, lines} = told;
        const known = drawn.get(kind);
        if (known) { // its numbers have changed; whoever points at it goes on doing so
            element.append(known.root);
            known.setData(lines);
            return;
        }
        const chart = new uPlot({width: element.clientWidth, ...KINDS[kind](told)}, lines, element);
        drawn.set(kind, chart);
    }

    function fit() {
        for (const chart of drawn.values()) {
            const width = chart.root.parentElement?.clientWidth;
            if (width && width !== chart.width) {
                chart.setSize({width, height: chart.height});
            }
        }
    }

    window.addEventListener("resize", fit);
    new MutationObserver(() => drawn.forEach((chart) => chart.redraw(false)))
        .observe(document.documentElement, {attributeFilter: ["data-bs-theme"]});
    window.board = {drawCharts: (part) => part.querySelectorAll("[data-chart]").forEach(draw)};
}());
