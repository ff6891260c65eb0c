%%% The election of a leader: of all who campaign for a name one leads; when it ends, or is cut off, another one does.
%%%
%%%     {ok, Campaign} = hornbeam_leader:campaign(<<"scheduler">>, #{}),
%%%     receive {hornbeam_leader, <<"scheduler">>, {gained, Token}} -> lead(Token) end,
%%%     receive {hornbeam_leader, <<"scheduler">>, lost} -> follow() end,
%%%     ok = hornbeam_leader:resign(Campaign).
%%%
%%% or with funs: gained => fun(Token), lost => fun(), called in the campaign's process, which has nothing else to do; run => fun(Token), in a process of its
%%% own, which is killed when leadership is lost.
%%%
%%% Owns one campaign: a process that ends with the one that began it, or with the fun `run'. Called by: any OTP application. Calls: hornbeam_cluster_locks
%%% (a lock of the kind `leader'), hornbeam_lock (request/2, holders/1).
%%%
%%% Lost is said in time, as with a lock: before the next one gains. The token of the next one is larger. Errors of the cluster (no quorum) are tried again every
%%% ?AGAIN ms; so is the end of hornbeam_cluster_locks, which is a loss.
-module(hornbeam_leader).
-behaviour(gen_server).

-export([campaign/2, resign/1, leader/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export_type([options/0]).

-define(AGAIN, 500).

%% ttl: as that of hornbeam_lock.
-type options() :: #{ttl => pos_integer(), gained => fun((Token :: pos_integer()) -> term()), lost => fun(() -> term()),
                     run => fun((Token :: pos_integer()) -> term())}.

-record(campaign, {
    name :: binary(),
    options :: options(),
    owner :: pid(),
    requests = gen_server:reqids_new() :: gen_server:request_id_collection(),
    server = none :: none | reference(),               % monitors hornbeam_cluster_locks
    ref = none :: none | reference(),                  % of the claim
    token = none :: none | pos_integer(),
    runner = none :: none | pid()
}).

%% @doc Begins to campaign for the calling process.
-spec campaign(Name :: binary(), options()) -> {ok, pid()} | {error, no_cluster | bad_name | bad_options}.
campaign(Name, Options) ->
    case {hornbeam_lock:request({leader, Name}, maps:with([ttl], Options)), hornbeam_cluster:enabled()} of
        {{ok, _}, true} -> gen_server:start(?MODULE, {Name, Options, self()}, []);
        {{ok, _}, false} -> {error, no_cluster};
        {Error, _} -> Error
    end.

%% @doc Ends a campaign: another one may lead.
-spec resign(pid()) -> ok.
resign(Campaign) ->
    try gen_server:stop(Campaign)
    catch exit:_ -> ok
    end.

%% @doc Who leads, as this node has heard.
-spec leader(Name :: binary()) -> {ok, {Token :: pos_integer(), node()}} | none | hornbeam_cluster:error().
leader(Name) ->
    case hornbeam_lock:holders({leader, Name}) of
        {ok, #{holders := [Leader | _]}} -> {ok, Leader};
        {ok, #{holders := []}} -> none;
        Error -> Error
    end.

-spec init({binary(), options(), pid()}) -> {ok, #campaign{}}.
init({Name, Options, Owner}) ->
    _ = process_flag(trap_exit, true),
    _ = erlang:monitor(process, Owner, [{tag, owner}]),
    {ok, ask(#campaign{name = Name, options = Options, owner = Owner})}.

ask(#campaign{name = Name, options = Options, requests = Requests} = Campaign) ->
    {ok, #{key := Ref} = Request} = hornbeam_lock:request({leader, Name}, maps:with([ttl], Options)),
    Server = erlang:monitor(process, hornbeam_cluster_locks, [{tag, server}]),
    Campaign#campaign{ref = Ref, server = Server, requests = gen_server:send_request(hornbeam_cluster_locks, {acquire, Request}, Ref, Requests)}.

-spec handle_call(term(), gen_server:from(), #campaign{}) -> {reply, term(), #campaign{}}.
handle_call(token, _From, #campaign{token = Token} = Campaign) ->
    {reply, Token, Campaign};
handle_call(_Request, _From, Campaign) ->
    {reply, {error, not_supported}, Campaign}.

-spec handle_cast(term(), #campaign{}) -> {noreply, #campaign{}}.
handle_cast(_Request, Campaign) ->
    {noreply, Campaign}.

-spec handle_info(term(), #campaign{}) -> {noreply, #campaign{}} | {stop, normal, #campaign{}}.
handle_info({hornbeam_lock, Ref, lost}, #campaign{ref = Ref} = Campaign) ->
    ok = gen_server:cast(hornbeam_cluster_locks, {leave, self(), Ref}),
    {noreply, ask(lost(Campaign))};
handle_info({server, Server, process, _, _}, #campaign{server = Server} = Campaign) ->
    _ = erlang:send_after(?AGAIN, self(), again),
    {noreply, lost(Campaign)};
handle_info(again, #campaign{ref = none} = Campaign) ->
    {noreply, ask(Campaign)};
handle_info({owner, _, process, _, _}, Campaign) ->
    {stop, normal, Campaign};
handle_info({'EXIT', Runner, _Reason}, #campaign{runner = Runner} = Campaign) ->
    {stop, normal, Campaign#campaign{runner = none}};
handle_info(Message, #campaign{requests = Requests, ref = Ref} = Campaign) ->
    case gen_server:check_response(Message, Requests, true) of
        {{reply, {ok, Token}}, Ref, Left} ->
            {noreply, gained(Token, Campaign#campaign{requests = Left})};
        {{reply, {error, _}}, Ref, Left} ->
            _ = erlang:send_after(?AGAIN, self(), again),
            {noreply, lost(Campaign#campaign{requests = Left})};
        {_, _, Left} ->
            {noreply, Campaign#campaign{requests = Left}};
        _ ->
            {noreply, Campaign}
    end.

-spec terminate(term(), #campaign{}) -> ok.
terminate(_Reason, #campaign{ref = Ref} = Campaign) ->
    _ = lost(Campaign),
    _ = is_reference(Ref) andalso gen_server:cast(hornbeam_cluster_locks, {leave, self(), Ref}),
    ok.

gained(Token, #campaign{name = Name, options = Options, owner = Owner} = Campaign) ->
    Owner ! {hornbeam_leader, Name, {gained, Token}},
    _ = case Options of #{gained := Gained} -> Gained(Token); #{} -> ok end,
    Runner = case Options of #{run := Run} -> spawn_link(fun() -> Run(Token) end); #{} -> none end,
    Campaign#campaign{token = Token, runner = Runner}.

%% Whatever runs has ended before anybody is told.
lost(#campaign{token = none} = Campaign) ->
    ended(Campaign);
lost(#campaign{name = Name, options = Options, owner = Owner, runner = Runner} = Campaign) ->
    ok = killed(Runner),
    Owner ! {hornbeam_leader, Name, lost},
    _ = case Options of #{lost := Lost} -> Lost(); #{} -> ok end,
    ended(Campaign).

ended(#campaign{server = Server} = Campaign) ->
    _ = is_reference(Server) andalso erlang:demonitor(Server, [flush]),
    Campaign#campaign{token = none, ref = none, server = none, runner = none}.

killed(none) ->
    ok;
killed(Runner) ->
    exit(Runner, kill),
    receive {'EXIT', Runner, _} -> ok end.
