%%% What a button of the dashboard does.
%%%
%%% Called by: hornbeam_dashboard_handler, once it knows that the form is of a page of its own. Calls: hornbeam_mounts, hornbeam_service_pools, hornbeam_pool,
%%% hornbeam_diagnose_command, hornbeam_diagnose_workers, hornbeam_worker_stack, hornbeam_flame, hornbeam_dashboard_html.
%%%
%%% To look at a worker is a button, too, and no link: it takes some of the worker's time.
-module(hornbeam_dashboard_actions).

-export([run/2]).

-include("hornbeam.hrl").

-import(hornbeam_dashboard_html, [escape/1]).

-define(SECONDS, "10").
-define(PATIENCE, 1000).
%% The stacks of a profile that stand below its picture.
-define(STACKS, 50).

%% @doc Text is logged. done: where the browser goes then; shown: a page of its own.
-spec run(Form :: #{binary() => binary()}, Name :: atom()) ->
    {done, Back :: iodata(), Text :: iodata()} | {shown, Title :: iodata(), hornbeam_dashboard_html:html(), Text :: iodata()} | unknown.
run(#{<<"action">> := <<"request">>, <<"worker">> := Worker, <<"stream">> := Stream}, Name) ->
    case {hornbeam_diagnose_workers:find(Name, Worker), string:to_integer(Stream)} of
        {{ok, #{pid := Pid}}, {Id, <<>>}} when is_integer(Id) ->
            {shown, ["A request on worker ", Worker], pre(of_stream(hornbeam_worker_stack:of_streams(Pid, [Id], ?PATIENCE), Id)),
             io_lib:format("the stack of request ~b of worker ~ts", [Id, Worker])};
        _ ->
            unknown
    end;
run(#{<<"action">> := Action, <<"kind">> := Kind, <<"place">> := Place, <<"worker">> := Worker} = Form, Name) ->
    case {pool(Kind, Place, Name), string:to_integer(Worker)} of
        {{ok, Pool}, {Number, <<>>}} when is_integer(Number) ->
            worker(Action, Pool, Place, Number, binary_to_list(maps:get(<<"seconds">>, Form, <<?SECONDS>>)), Name);
        _ -> unknown
    end;
run(_, _Name) ->
    unknown.

pool(Kind, Place, Name) ->
    Known = [{<<"mount">>, hornbeam_mounts:place(Mount), Pool} || #mount{pool = Pool} = Mount <- hornbeam_mounts:all(Name)]
        ++ [{<<"service">>, hornbeam_mounts:place(Mount), Pool} || #mount{pool = Pool} = Mount <- hornbeam_service_pools:all(Name)],
    case [Pool || {K, P, Pool} <- Known, K =:= Kind, P =:= Place] of
        [Pool] -> {ok, Pool};
        [] -> error
    end.

worker(Action, Pool, Place, Number, _Seconds, _Name) when Action =:= <<"replace">>; Action =:= <<"drain">> ->
    Did = case hornbeam_pool:relieve(Pool, Number, binary_to_existing_atom(Action)) of
        ok -> Action;
        {error, _} -> <<"not_ready">>
    end,
    {done, ["/workers?did=", Did], io_lib:format("~ts worker ~b of ~ts: ~ts", [Action, Number, Place, Did])};
worker(Action, Pool, Place, Number, Seconds, Name) ->
    Worker = binary_to_list(hornbeam_worker_rows:name(Pool, Number)),
    Title = fun(What) -> [What, " of worker ", integer_to_binary(Number), " of ", Place] end,
    Said = fun(What) -> [What, " of worker ", Worker] end,
    case Action of
        <<"stack">> -> {shown, Title("Stacks"), pre(hornbeam_diagnose_command:run(Name, "stack", [Worker])), Said("stacks")};
        <<"memory">> -> {shown, Title("Memory"), pre(hornbeam_diagnose_command:run(Name, "memory", [Worker, Seconds])), Said("memory")};
        <<"profile">> -> {shown, Title("Profile"), profile(hornbeam_diagnose_command:run(Name, "profile", [Worker, Seconds])), Said("profile")};
        _ -> unknown
    end.

of_stream({streams, Texts}, Id) when is_map_key(Id, Texts) -> {ok, maps:get(Id, Texts)};
of_stream({streams, _}, _Id) -> {error, "It is over, or has no task."};
of_stream({blocked, Text}, _Id) -> {ok, ["The event loop is blocked. All threads:\n\n", Text]};
of_stream({error, {stopped, _, _}}, _Id) -> {error, "The worker's process is stopped."};
of_stream({error, _}, _Id) -> {error, "The worker does not answer, or has ended."}.

pre({ok, Text}) -> ["<pre tabindex=\"0\">", escape(Text), "</pre>"];
pre({error, Text}) -> ["<p class=\"said\">", escape(Text), "</p>"].

profile({ok, Text}) ->
    Profile = hornbeam_flame:parse(unicode:characters_to_binary(Text)),
    Top = lists:sublist(lists:reverse(lists:keysort(2, Profile)), ?STACKS),
    ["<p>The width of a frame is how often it was seen, what stands on it is what it called.</p><div class=\"flame\">",
     hornbeam_flame:svg(Profile, "Flame graph"), "</div>",
     hornbeam_dashboard_html:table({"The stacks that were seen most", "All threads waited."}, [{number, "Samples"}, "Stack"],
        [[Count, unicode:characters_to_binary(lists:join(<<" > ">>, Frames))] || {Frames, Count} <- Top])];
profile(Error) ->
    pre(Error).
