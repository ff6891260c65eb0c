%%% Who is signed in to the dashboard of a server, and how often somebody may try.
%%%
%%% Called by: hornbeam_dashboard_request, hornbeam_dashboard_handler, each in the process of a request. Calls: hornbeam_dashboard_access, hornbeam_gcra
%%% (the rule of tries). A session is a random id in a cookie, of which the hash is kept here; the token against forged requests is made of the id
%%% with a key that only this process knows. Without a password every visitor gets an id, and nothing is kept.
%%%
%%% The password is not compared here, which takes half a second, but in the process of whoever may try.
%%%
%%% Limits: ?MAX_SESSIONS, of which the one that was not used for the longest time goes first; ?IDLE without a request; ?TRIES of one address at once
%%% and one more each ?EACH, ?ALL_TRIES of all; ?MAX_ADDRESSES are remembered. Restarted, nobody is signed in.
-module(hornbeam_dashboard_sessions).
-behaviour(gen_server).

-export([start_link/2, find/2, may_try/2, open/1, close/2, bearer/2]).
-export([init/1, handle_call/3, handle_cast/2, format_status/1]).
-export_type([session/0]).

-define(MAX_SESSIONS, 100).
-define(IDLE, 43200000).
-define(TRIES, 5).
-define(ALL_TRIES, 20).
-define(EACH, 15000000000).     % ns
-define(ALL_EACH, 5000000000).
-define(MAX_ADDRESSES, 1000).
-define(ID_BYTES, 32).

%% csrf: what forms send back; id: for the cookie, where it is new.
-type session() :: #{csrf := binary(), new => binary(), id := binary()}.

-record(state, {
    guard :: hornbeam_dashboard_access:guard(),
    key = crypto:strong_rand_bytes(32) :: binary(),
    sessions = #{} :: #{Hash :: binary() => Used :: integer()},
    tries = #{} :: #{inet:ip_address() | local => [integer()]},
    all = [0] :: [integer()]
}).

-spec start_link(Name :: atom(), hornbeam_dashboard_access:guard()) -> {ok, pid()} | {error, term()}.
start_link(Name, Guard) ->
    case gen_server:start_link({local, process(Name)}, ?MODULE, Guard, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

%% One for each server, whose name is an atom itself.
process(Name) ->
    binary_to_atom(<<"hornbeam_dashboard_sessions@", (atom_to_binary(Name))/binary>>).

%% @doc The session of a cookie; where anybody may look, a new one for whoever has none.
-spec find(Name :: atom(), Id :: binary() | none) -> {ok, session()} | none.
find(Name, Id) -> gen_server:call(process(Name), {find, Id}, infinity).

%% @doc Whether this address may try to sign in now, and what it has to show; or after how many seconds.
-spec may_try(Name :: atom(), inet:ip_address() | local) -> {ok, hornbeam_dashboard_access:guard()} | {wait, pos_integer()}.
may_try(Name, Address) -> gen_server:call(process(Name), {may_try, Address}, infinity).

%% @doc A new session, for somebody who has shown that he may.
-spec open(Name :: atom()) -> Id :: binary().
open(Name) -> gen_server:call(process(Name), open, infinity).

-spec close(Name :: atom(), Id :: binary()) -> ok.
close(Name, Id) -> gen_server:call(process(Name), {close, Id}, infinity).

%% @doc Whether a token is the one of dashboard_token_file.
-spec bearer(Name :: atom(), Token :: binary()) -> boolean().
bearer(Name, Token) -> gen_server:call(process(Name), {bearer, Token}, infinity).

-spec init(hornbeam_dashboard_access:guard()) -> {ok, #state{}}.
init(Guard) ->
    {ok, #state{guard = Guard}}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({find, Id}, _From, #state{guard = open} = State) ->
    case is_id(Id) of
        true -> {reply, {ok, session(Id, State)}, State};
        false -> New = new_id(), {reply, {ok, (session(New, State))#{new => New}}, State}
    end;
handle_call({find, Id}, _From, #state{sessions = Sessions} = State) ->
    Hash = hash(Id),
    Now = now_ms(),
    case Sessions of
        #{Hash := Used} when Now - Used =< ?IDLE -> {reply, {ok, session(Id, State)}, State#state{sessions = Sessions#{Hash := Now}}};
        #{} -> {reply, none, State#state{sessions = maps:remove(Hash, Sessions)}}
    end;
handle_call({may_try, Address}, _From, #state{guard = Guard, tries = Tries, all = All} = State) ->
    Now = erlang:monotonic_time(nanosecond) - erlang:system_info(start_time),
    Own = maps:get(Address, Tries, [0]),
    case {hornbeam_gcra:decide(Now, 1, [window(?EACH, ?TRIES)], Own), hornbeam_gcra:decide(Now, 1, [window(?ALL_EACH, ?ALL_TRIES)], All)} of
        {{{true, _, _}, Until}, {{true, _, _}, AllUntil}} ->
            {reply, {ok, Guard}, State#state{tries = remembered(Address, Until, Now, Tries), all = AllUntil}};
        {{{_, Wait, _}, _}, {{_, AllWait, _}, _}} ->
            {reply, {wait, 1 + max(Wait, AllWait) div 1000000000}, State}
    end;
handle_call(open, _From, #state{sessions = Sessions} = State) ->
    Id = new_id(),
    {reply, Id, State#state{sessions = maps:put(hash(Id), now_ms(), room(Sessions))}};
handle_call({close, Id}, _From, #state{sessions = Sessions} = State) ->
    {reply, ok, State#state{sessions = maps:remove(hash(Id), Sessions)}};
handle_call({bearer, Token}, _From, #state{guard = Guard} = State) ->
    {reply, hornbeam_dashboard_access:proves({token, Token}, Guard), State}.

session(Id, #state{key = Key}) ->
    #{id => Id, csrf => text(crypto:mac(hmac, sha256, Key, Id))}.

window(Each, AtOnce) -> {Each, Each * AtOnce}.

%% Addresses whose tries have been forgiven go first; a flood of others then has the limit for all.
remembered(Address, Until, _Now, Tries) when map_size(Tries) < ?MAX_ADDRESSES; is_map_key(Address, Tries) ->
    Tries#{Address => Until};
remembered(Address, Until, Now, Tries) ->
    case maps:filter(fun(_, [Time]) -> Time > Now end, Tries) of
        Left when map_size(Left) < ?MAX_ADDRESSES -> Left#{Address => Until};
        _ -> #{Address => Until}
    end.

room(Sessions) when map_size(Sessions) < ?MAX_SESSIONS ->
    Sessions;
room(Sessions) ->
    [{_, Oldest} | _] = lists:sort([{Used, Hash} || {Hash, Used} <- maps:to_list(Sessions)]),
    maps:remove(Oldest, Sessions).

is_id(Id) ->
    is_binary(Id) andalso match =:= re:run(Id, "^[A-Za-z0-9_-]{43}$", [dollar_endonly, {capture, none}]).

new_id() -> text(crypto:strong_rand_bytes(?ID_BYTES)).

%% base64url without padding: OTP 25 has no option for it.
text(Bytes) ->
    << <<(case C of $+ -> $-; $/ -> $_; _ -> C end)>> || <<C>> <= base64:encode(Bytes), C =/= $= >>.

hash(none) -> none;
hash(Id) -> crypto:hash(sha256, Id).

now_ms() -> erlang:monotonic_time(millisecond).

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

%% No secret in a crash report.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{} = State} = Status) ->
    Status#{state := State#state{guard = open, key = <<>>, sessions = #{}}};
format_status(Status) ->
    Status.
