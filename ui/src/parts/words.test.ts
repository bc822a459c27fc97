import { describe, expect, test } from "vitest";
import { beginning, chance, cost, count, gain, interval, many, middle, money, points, score, seconds } from "./words";

describe("numbers in words", () => {
  test("scores are per cent where they are fractions", () => {
    expect(score(0.525)).toBe("52.5 %");
    expect(score(12.3456, false)).toBe("12.35");
    expect(score(null)).toBe("–");
    expect(points(1)).toBe("100 %");
    expect(points(1 / 3)).toBe("33.3 %");
    expect(points(12.3456, false)).toBe("12.35");
  });
  test("gains carry their sign", () => {
    expect(gain(0.151)).toBe("+15.1");
    expect(gain(-0.02)).toBe("−2.0");
    expect(interval(-0.01, 0.2)).toBe("−1.0 to +20.0");
  });
  test("money and costs", () => {
    expect(money(null)).toBe("price unknown");
    expect(money(0)).toBe("$0");
    expect(money(0.000123)).toBe("$0.00012");
    expect(money(12.345)).toBe("$12.35");
    expect(cost(1234.4, false)).toBe("1,234 tokens");
  });
  test("times", () => {
    expect(seconds(0.0123)).toBe("12 ms");
    expect(seconds(0.9999)).toBe("1.0 s");
    expect(seconds(59)).toBe("59.0 s");
    expect(seconds(59.99)).toBe("1 min 0 s");
    expect(seconds(119.7)).toBe("2 min 0 s");
    expect(seconds(3725)).toBe("1 h 2 min");
  });
  test("chances are never certain", () => {
    expect(chance(0.99999)).toBe("> 0.999");
    expect(chance(0)).toBe("< 0.001");
    expect(chance(0.5)).toBe("0.500");
  });
  test("one and several", () => {
    expect(many(1, "run")).toBe("1 run");
    expect(many(2000, "run")).toBe("2,000 runs");
    expect(count(1234567)).toBe("1,234,567");
  });
});

describe("long texts", () => {
  test("a short text is whole", () => {
    expect(beginning("one\ntwo", 2)).toBe("one\ntwo");
    expect(beginning("", 3)).toBe("");
  });
  test("a long one begins with so many lines", () => {
    expect(beginning("a\nb\nc\nd", 2)).toBe("a\nb");
    expect(beginning("x".repeat(1000), 2)).toHaveLength(240);
  });
  test("the end of a name is kept", () => {
    expect(middle("short")).toBe("short");
    expect(middle("5a8b57f25542995d1e6f0042", 13)).toBe("5a8b5…e6f0042");
  });
});
