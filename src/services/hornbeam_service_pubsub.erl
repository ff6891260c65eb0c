%%% Python's publish and subscribe. Called by: hornbeam_services, in the worker's process, which is the
%%% subscriber for all that its Python process subscribes to, and counts the bytes of its topics. Calls: hornbeam_pubsub, hornbeam_topic.
-module(hornbeam_service_pubsub).
-behaviour(hornbeam_services).

-export([handle/3]).

%% The same number stands in _requests.py, as does that of hornbeam_topic.
-define(MAX_TOPIC, 65535).

-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(publish, [Topic, Message], _) when is_binary(Topic), byte_size(Topic) =< ?MAX_TOPIC ->
    case hornbeam_topic:is_pattern(Topic) of
        false -> {ok, hornbeam_pubsub:publish(Topic, Message)};
        true -> {error, value_error, <<"a pattern can be subscribed to, not published to">>}
    end;
handle(subscribe, [Topic], _) when is_binary(Topic), byte_size(Topic) =< ?MAX_TOPIC ->
    case hornbeam_topic:is_valid(Topic) of
        true -> {subscribe, Topic};
        false -> {error, value_error, <<"128 bytes may stand before the * of a pattern">>}
    end;
handle(unsubscribe, [Topic], _) when is_binary(Topic), byte_size(Topic) =< ?MAX_TOPIC ->
    {unsubscribe, Topic};
handle(Operation, _Arguments, _) ->
    {error, type_error, <<"wrong arguments for ", (atom_to_binary(Operation))/binary>>}.
