import "uplot/dist/uPlot.min.css";
import "./charts.css";
import { useComputedColorScheme } from "@mantine/core";
import { type ReactNode, useEffect, useRef } from "react";
import uPlot from "uplot";

/** A colour of the page by its variable, as the canvas needs it. */
export type Paint = (variable: string) => string;

export interface PlotProps {
  /** How to draw, with the page's colours; a new function (memoise it) makes the chart anew. New `data` keep a zoom. */
  options: (paint: Paint) => Omit<uPlot.Options, "width" | "height">;
  data: uPlot.AlignedData;
  height: number;
  /** A sentence that tells what the chart shows. */
  label: string;
  children?: ReactNode;
}

/** uPlot in React: as wide as its place, in the colours of the scheme, gone when its place is. */
export function Plot({ options, data, height, label, children }: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const scheme = useComputedColorScheme("light");
  const chart = useRef<uPlot>(null);
  const latest = useRef(data);
  latest.current = data;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a change of the scheme changes what `paint` gives
  useEffect(() => {
    const node = place.current;
    if (node === null) return;
    const styles = getComputedStyle(document.documentElement);
    const paint: Paint = (variable) => styles.getPropertyValue(variable).trim() || "#888";
    const width = () => Math.max(200, node.clientWidth);
    const made = new uPlot({ ...options(paint), width: width(), height }, latest.current, node);
    chart.current = made;
    const watch = new ResizeObserver(() => {
      if (made.width !== width()) made.setSize({ width: width(), height });
    });
    watch.observe(node);
    return () => {
      watch.disconnect();
      made.destroy();
      chart.current = null;
    };
  }, [options, height, scheme]);
  useEffect(() => {
    const made = chart.current;
    if (made === null || made.data === data) return;
    const [known] = made.data;
    const { min, max } = made.scales.x ?? {};
    const zoomed = min !== known[0] || max !== known[known.length - 1];
    made.setData(data, !zoomed);
    if (zoomed) made.redraw();
  }, [data]);
  return (
    <div className="fb-chart">
      <div ref={place} role="img" aria-label={label} style={{ height }} />
      {children}
    </div>
  );
}
