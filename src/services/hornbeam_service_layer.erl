%%% Python's operations on Django's channel layers. Called by: hornbeam_services. Calls: hornbeam_layer, which answers by itself.
-module(hornbeam_service_layer).
-behaviour(hornbeam_services).

-export([handle/3]).

%% Of a message, as it is packed.
-define(MAX_MESSAGE, 1048576).
-define(MAX_MS, 16#ffffffffffff).

-define(IS_NAMES(Layer, Name), is_binary(Layer), is_binary(Name)).
-define(IS_COUNT(N), is_integer(N), N > 0, N =< ?MAX_MS).

-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(Send, [_, _, {bytes, Message} | _], _) when Send =:= layer_send orelse Send =:= layer_group_send,
                                                   byte_size(Message) > ?MAX_MESSAGE ->
    {error, value_error, <<"a message of a channel layer may have 1 MiB">>};
handle(layer_send, [Layer, Channel, {bytes, Message}, Capacity, Expiry], _)
        when ?IS_NAMES(Layer, Channel), ?IS_COUNT(Capacity), ?IS_COUNT(Expiry) ->
    ask({send, {Layer, Channel}, Message, Capacity, Expiry}, fun(Sent) -> {ok, Sent =:= ok} end);
handle(layer_take, [Layer, Channel], _) when ?IS_NAMES(Layer, Channel) ->
    ask({take, {Layer, Channel}}, fun({ok, Message}) -> {ok, {bytes, Message}}; (empty) -> absent end);
handle(layer_wait, [Layer, Channel, Token], #{session := Session}) when ?IS_NAMES(Layer, Channel), is_integer(Token) ->
    {later, fun(Id) -> hornbeam_layer:wait({Layer, Channel}, Session, Id, Token) end};
handle(layer_forget, [Layer, Channel, Token], #{session := Session}) when ?IS_NAMES(Layer, Channel), is_integer(Token) ->
    ok = hornbeam_layer:forget({Layer, Channel}, Session, Token),
    {ok, none};
handle(layer_group_add, [Layer, Group, Channel, Expiry, Capacity], _)
        when ?IS_NAMES(Layer, Group), is_binary(Channel), ?IS_COUNT(Expiry), ?IS_COUNT(Capacity) ->
    ask({group_add, {Layer, Group}, Channel, Expiry, Capacity}, fun added/1);
handle(layer_group_discard, [Layer, Group, Channel], _) when ?IS_NAMES(Layer, Group), is_binary(Channel) ->
    ask({group_discard, {Layer, Group}, Channel}, fun(ok) -> {ok, none} end);
handle(layer_group_send, [Layer, Group, {bytes, Message}, Expiry], _) when ?IS_NAMES(Layer, Group), ?IS_COUNT(Expiry) ->
    ask({group_send, {Layer, Group}, Message, Expiry}, fun({_, _} = Reached) -> {ok, Reached} end);
handle(layer_flush, [Layer], _) when is_binary(Layer) ->
    ask({flush, Layer}, fun(ok) -> {ok, none} end);
handle(layer_own, [Layer, Prefix], #{session := Session}) when ?IS_NAMES(Layer, Prefix) ->
    ok = hornbeam_layer:own(Layer, Prefix, Session),
    {ok, none};
handle(Operation, _Arguments, _) ->
    {error, type_error, <<"wrong arguments for ", (atom_to_binary(Operation))/binary>>}.

added(ok) -> {ok, none};
added(full) -> {error, value_error, <<"the groups of channel layers are full">>}.

ask(Request, Meaning) ->
    case whereis(hornbeam_layer) of
        undefined -> gone();
        Pid -> {ask, {Pid, Request, fun({ok, Reply}) -> Meaning(Reply); (gone) -> gone() end}}
    end.

gone() ->
    {error, connection_error, <<"the channel layer begins anew: what waited in it is lost">>}.
