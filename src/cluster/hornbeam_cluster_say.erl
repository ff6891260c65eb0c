%%% Messages to processes of other nodes that wait for nobody: a link that is congested, because the node behind it does not read, holds up no sender.
%%%
%%% Called by: hornbeam_cluster_cache_home, hornbeam_cluster_cache_asker, each in a process of its own that others need. Calls: nothing.
%%%
%%% What cannot be sent now is left unsaid, and in its place something shorter is said as soon as that can be: so what is held here is a few words for each
%%% message, and never a value. To a node that is gone nothing is said: whoever speaks here monitors whom it speaks to.
-module(hornbeam_cluster_say).

-export([send/2, say/4, again/2]).
-export_type([unsaid/0]).

%% How long until it is tried again, in ms.
-define(AGAIN, 100).

-type unsaid() :: [{pid(), Otherwise :: term()}].

%% @doc Sends, or says why not.
-spec send(pid(), term()) -> ok | nosuspend | noconnect.
send(Pid, Message) -> erlang:send(Pid, Message, [nosuspend, noconnect]).

%% @doc Sends Message now or Otherwise later: the caller then gets {timeout, _, Tag}, and calls again/2.
-spec say(pid(), Message :: term(), Otherwise :: term(), {Tag :: term(), unsaid()}) -> unsaid().
say(Pid, Message, Otherwise, {Tag, Unsaid}) ->
    case send(Pid, Message) of
        nosuspend -> later(Tag, [{Pid, Otherwise}], Unsaid);
        _ -> Unsaid
    end.

%% @doc Tries again what was not said.
-spec again(Tag :: term(), unsaid()) -> unsaid().
again(Tag, Unsaid) ->
    later(Tag, [One || {Pid, Message} = One <- lists:reverse(Unsaid), send(Pid, Message) =:= nosuspend], []).

later(_Tag, [], Unsaid) ->
    Unsaid;
later(Tag, More, Unsaid) ->
    _ = Unsaid =:= [] andalso erlang:start_timer(?AGAIN, self(), Tag),
    lists:reverse(More, Unsaid).
