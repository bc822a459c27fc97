import { Alert, Text } from "@mantine/core";
import type { TryPrice } from "../../api/types";
import { count, money } from "../../parts/words";

/** What trying may spend, in few words: for the button that spends it. */
export function priceWords({ calls, usd }: TryPrice): string {
  const asked = `${count(calls)} LLM ${calls === 1 ? "call" : "calls"}`;
  return usd === null ? `at most ${asked}, price unknown` : `at most ${money(usd)}, ${asked}`;
}

/** What trying will take at most, with which models and tools, or why it cannot be done. */
export function PriceLines({ price }: { price: TryPrice }) {
  if (price.problem)
    return (
      <Alert variant="light" color="orange" title="This cannot be tried" role="alert" data-testid="try-problem">
        <span className="fb-text">{price.problem}</span>
      </Alert>
    );
  const models = price.models.join(", ");
  return (
    <Text size="sm" data-testid="try-price">
      {models ? `It asks ${models}` : "It asks no model"}
      {price.tools.length > 0 ? ` and uses ${price.tools.join(", ")}` : ""}: {priceWords(price)}.
    </Text>
  );
}
