// Does with a handle of its own what its test says, one thing after the other, and answers each.
import { messages, send } from "../support/child_side.ts";
import { Actor, type Request } from "../support/model_actor.ts";

const actor = new Actor();
send("ready");
for await (const request of messages()) send(await actor.do(request as Request));
