import type { Played, ToolUse } from "../../api/types";
import { Copy } from "../../parts/Copy";
import { Folded } from "../../parts/Folded";
import { Fields, Value } from "../../parts/Value";
import { plain } from "../../parts/values";
import { seconds } from "../../parts/words";
import { callsIn, messageText } from "./tree";

const roles: Record<string, string> = {
  system: "System",
  user: "User",
  assistant: "Model",
  tool: "Tool",
};

/** Every message of an exchange, in order. */
export function Messages({ messages }: { messages: Played["messages"] }) {
  return (
    <div>
      <h4>Messages</h4>
      <ol className="fb-messages">
        {messages.map((message, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: messages have no other key, and keep their order
          <li key={place} data-role={String(message.role)} data-testid="message">
            <Message message={message} last={place === messages.length - 1} />
          </li>
        ))}
      </ol>
    </div>
  );
}

function Message({ message, last }: { message: Played["messages"][number]; last: boolean }) {
  const role = roles[String(message.role)] ?? String(message.role);
  const text = messageText(message);
  const calls = callsIn(message);
  const answers = typeof message.tool_call_id === "string" ? message.tool_call_id : "";
  return (
    <>
      <div className="fb-message-head">
        <span>
          {role} {answers && <span className="fb-quiet">answers {answers}</span>}
        </span>
        {text && <Copy text={text} label={`the ${role.toLowerCase()}'s message`} />}
      </div>
      {text ? (
        <Folded text={text} lines={last ? 40 : 10} mono />
      ) : (
        calls.length === 0 && <span className="fb-quiet">empty</span>
      )}
      {calls.map((call) => (
        <div key={call.id} className="fb-call">
          <span className="fb-mono">{call.name}</span> <span className="fb-quiet">{call.id}</span>
          <Value value={call.args} />
        </div>
      ))}
    </>
  );
}

/** The tool calls within a step: with what they were called, and what they gave. */
export function ToolUses({ uses }: { uses: ToolUse[] }) {
  return (
    <div>
      <h4>Tool calls</h4>
      <ol className="fb-uses">
        {uses.map((use, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: calls have no other key, and keep their order
          <li key={place} data-testid="tool-use">
            <div className="fb-message-head">
              <span>
                <span className="fb-mono">{use.tool}</span> <span className="fb-quiet">{seconds(use.seconds)}</span>
              </span>
              <Copy text={plain(use.value, 2)} label="what it gave" />
            </div>
            <div className="fb-play-pair">
              <Fields fields={use.args} lines={8} />
              {use.failure ? (
                <div className="fb-play-bad">
                  <b>Failed:</b> <Folded text={use.failure} lines={6} mono />
                </div>
              ) : (
                <Value value={use.value} lines={8} />
              )}
            </div>
          </li>
        ))}
      </ol>
    </div>
  );
}
