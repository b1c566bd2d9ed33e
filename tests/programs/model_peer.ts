// Executes the requests of its test on a handle of its own, one after the other, and replies to each.
import { messages, send } from "../support/child_side.ts";
import { Actor, type Request } from "../support/model_actor.ts";

const actor = new Actor();
send("ready");
for await (const request of messages()) send(await actor.do(request as Request));
