// Charts, drawn with uPlot. An element with data-chart has the kind of its chart and its numbers, as JSON;
// what they say stands beside it in words and tables, too.
(function () {
    "use strict";

    const drawn = new Map(); // the charts of this page, by kind

    // Colours are those of the page, light or dark.
    function colour(name) {
        return () => getComputedStyle(document.body).getPropertyValue(name).trim();
    }

    function inWords(seconds) {
        const [unit, length] = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]].find(
            ([, length]) => seconds >= length) || ["ms", 0.001];
        return Number((seconds / length).toPrecision(3)) + " " + unit;
    }

    function axis(more) {
        const thin = {stroke: colour("--bs-border-color"), width: 1};
        return {stroke: colour("--flower-text-muted"), grid: thin, ticks: thin, font: "12px system-ui", ...more};
    }

    const WHOLE = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6].flatMap((ten) => [ten, 2 * ten, 5 * ten]);
    const fromZero = {range: (_, least, most) => [0, 1.05 * (most || 1)]};

    const KINDS = {
        hour: () => ({
            height: 200,
            scales: {jobs: fromZero, seconds: fromZero},
            axes: [
                axis({values: "{HH}:{mm}"}),
                axis({scale: "jobs", incrs: WHOLE}),
                axis({scale: "seconds", side: 1, grid: {show: false}, size: 60,
                    values: (_, ticks) => ticks.map((tick) => tick ? inWords(tick) : "0")}),
            ],
            series: [
                {value: "{HH}:{mm}", label: "From"},
                {label: "finished", scale: "jobs", fill: colour("--flower-success"), points: {show: false},
                    paths: uPlot.paths.bars({size: [0.8, 100]})},
                {label: "waited", scale: "seconds", stroke: colour("--flower-warning"), width: 2, spanGaps: true,
                    value: (_, seconds) => seconds === null ? "–" : inWords(seconds)},
            ],
        }),
    };

    function draw(element) {
        const {kind, lines} = JSON.parse(element.dataset.chart);
        const known = drawn.get(kind);
        if (known) { // its numbers have changed; whoever points at it goes on doing so
            element.append(known.root);
            known.setData(lines);
            return;
        }
        const chart = new uPlot({width: element.clientWidth, ...KINDS[kind]()}, lines, element);
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
