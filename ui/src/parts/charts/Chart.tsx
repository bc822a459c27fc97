import { Text } from "@mantine/core";
import { useCallback, useMemo, useRef, useState } from "react";
import type uPlot from "uplot";
import { useLocation } from "wouter";
import { type Paint, Plot } from "./Plot";
import { draw, type Mark, nearest, type Picture, span } from "./picture";

const REACH = 14; // pixels between the pointer and the mark that it means

export interface ChartProps {
  picture: Picture;
  /** A sentence that tells what the chart shows. */
  label: string;
  xLabel: string;
  xText: (value: number) => string;
  yText: (value: number) => string;
  xLog?: boolean;
  height?: number;
}

interface Tip {
  mark: Mark;
  left: number;
  top: number;
  flip: boolean;
}

/** Lines and marks over two axes: hovering names a mark, a click opens it, dragging along x zooms, a double click resets. */
export function Chart({ picture, label, xLabel, xText, yText, xLog = false, height = 300 }: ChartProps) {
  const [, go] = useLocation();
  const [tip, setTip] = useState<Tip | null>(null);
  const over = useRef<Mark | null>(null);

  const now = useRef(picture);
  now.current = picture;

  const data = useMemo((): uPlot.AlignedData => {
    const across = picture.marks.map((each) => each.x);
    for (const line of picture.lines) for (const [x] of line.points) across.push(x);
    const [low, high] = span(across, xLog) ?? [1, 10];
    const from = !xLog && low < 0 && across.every((each) => each >= 0) ? 0 : low;
    return [
      [from, high],
      [null, null],
    ];
  }, [picture, xLog]);

  const options = useCallback(
    (paint: Paint) => {
      const point = (u: uPlot, event: MouseEvent) => {
        const box = u.over.getBoundingClientRect();
        const place = (mark: Mark): [number, number] => [u.valToPos(mark.x, "x"), u.valToPos(mark.y, "y")];
        const mark = nearest(now.current.marks, place, event.clientX - box.left, event.clientY - box.top, REACH);
        u.over.style.cursor = mark?.href ? "pointer" : "";
        if (mark === over.current) return;
        over.current = mark;
        if (mark === null) return setTip(null);
        const [left, top] = place(mark);
        setTip({ mark, left: left + u.over.offsetLeft, top: top + u.over.offsetTop, flip: left > box.width / 2 });
      };
      return plain(paint, {
        xLabel,
        xText,
        yText,
        xLog,
        ySpan: () => heights(now.current),
        draw: (u) => draw(u, now.current, paint),
        ready: (u) => {
          let down = [0, 0];
          u.over.addEventListener("mousedown", (event) => {
            down = [event.clientX, event.clientY];
          });
          u.over.addEventListener("mousemove", (event) => point(u, event));
          u.over.addEventListener("mouseleave", () => {
            over.current = null;
            setTip(null);
          });
          u.over.addEventListener("click", (event) => {
            const still = Math.hypot(event.clientX - (down[0] ?? 0), event.clientY - (down[1] ?? 0)) < 4;
            if (still && over.current?.href) go(over.current.href);
          });
        },
      });
    },
    [xLabel, xText, yText, xLog, go],
  );

  return (
    <Plot options={options} data={data} height={height} label={label}>
      {tip && (
        <div
          className="fb-chart-tip"
          data-testid="chart-tip"
          style={{
            top: tip.top + 10,
            [tip.flip ? "right" : "left"]: tip.flip ? `calc(100% - ${tip.left - 10}px)` : tip.left + 10,
          }}
        >
          <Text size="xs" fw={600}>
            {tip.mark.name}
          </Text>
          {tip.mark.told.map((line) => (
            <div key={line}>{line}</div>
          ))}
        </div>
      )}
    </Plot>
  );
}

function heights({ marks, lines }: Picture): [number, number] {
  const ys = [
    ...marks.flatMap((mark) => [mark.y, mark.low ?? mark.y, mark.high ?? mark.y]),
    ...lines.flatMap((line) => line.points.flatMap(([, y, low, high]) => [y, low ?? y, high ?? y])),
  ];
  return span(ys) ?? [0, 1];
}

/** Whether a number is 1, 2 or 5 with zeros. */
function isRound(value: number): boolean {
  const first = value / 10 ** Math.floor(Math.log10(value) + 1e-9);
  return [1, 2, 5].some((each) => Math.abs(first - each) < 1e-6);
}

interface Frame {
  xLabel: string;
  xText: (value: number) => string;
  yText: (value: number) => string;
  xLog: boolean;
  ySpan: () => [number, number];
  draw: (u: uPlot) => void;
  ready: (u: uPlot) => void;
}

function plain(paint: Paint, frame: Frame): Omit<uPlot.Options, "width" | "height"> {
  const font = "12px system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif";
  const axis = {
    stroke: paint("--fb-quiet"),
    font,
    labelFont: font,
    labelSize: 18,
    labelGap: 2,
    grid: { stroke: paint("--fb-line"), width: 1 },
    ticks: { show: false },
  };
  return {
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false, dist: 5 } },
    scales: {
      x: { time: false, distr: frame.xLog ? 3 : 1, range: (_, low, high) => [low, high] },
      y: { range: frame.ySpan },
    },
    axes: [
      {
        ...axis,
        label: frame.xLabel,
        space: 76,
        size: 28,
        values: (_, ticks) =>
          ticks.map((each) => (each == null || (frame.xLog && !isRound(each)) ? "" : frame.xText(each))),
      },
      { ...axis, size: 62, values: (_, ticks) => ticks.map((each) => frame.yText(each)) },
    ],
    series: [{}, { paths: () => null, points: { show: false } }],
    hooks: { draw: [frame.draw], ready: [frame.ready] },
  };
}
