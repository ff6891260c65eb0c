%%% Python's publish and subscribe. Called by: hornbeam_services, in the worker's process, which is the
%%% subscriber for all that its Python process subscribes to. Calls: hornbeam_pubsub.
-module(hornbeam_service_pubsub).
-behaviour(hornbeam_services).

-export([handle/3]).

-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(publish, [Topic, Message], _) ->
    {ok, hornbeam_pubsub:publish(Topic, Message)};
handle(subscribe, [Topic], _) ->
    ok = hornbeam_pubsub:subscribe(Topic),
    {ok, none};
handle(unsubscribe, [Topic], _) ->
    {ok, hornbeam_pubsub:unsubscribe(Topic) =:= ok}.
