%%% The house: no folder of src/ calls one above it, no modules call each other in a circle, and nothing of a dependency is called
%%% that docs/architecture.md does not list. OTP's xref looks at the compiled application; what the order is, and what is listed,
%%% stands in docs/architecture.md alone.
-module(hornbeam_layers_tests).

-include_lib("eunit/include/eunit.hrl").

layers_test_() ->
    {setup, fun start/0, fun(Xref) -> xref:stop(Xref) end,
     fun(Xref) ->
         [{Text, {timeout, 120, fun() -> Test(Xref) end}}
          || {Text, Test} <- [{"folders", fun folders/1}, {"circles", fun circles/1}, {"dependencies", fun dependencies/1},
                                {"loaded", fun loaded/1}, {"loaded for a cluster", fun loaded_for_a_cluster/1}]]
     end}.

start() ->
    {ok, Xref} = xref:start([{xref_mode, functions}]),
    ok = xref:set_default(Xref, [{warnings, false}, {verbose, false}]),
    %% OTP's own modules are not looked at, which would take a minute.
    ok = xref:set_library_path(Xref, []),
    {ok, _} = xref:add_directory(Xref, filename:dirname(code:which(hornbeam))),
    Xref.

folders(Xref) ->
    Order = order(),
    Folders = folders(),
    ?assertEqual(lists:sort(Order), lists:usort(maps:values(Folders))),
    Height = maps:from_list(lists:zip(Order, lists:seq(1, length(Order)))),
    Of = fun(Module) -> maps:get(maps:get(Module, Folders), Height) end,
    ?assertEqual([], [{maps:get(A, Folders), A, calls, maps:get(B, Folders), B} || {A, B} <- calls(Xref), Of(A) < Of(B)]).

circles(Xref) ->
    Graph = digraph:new(),
    _ = [digraph:add_vertex(Graph, Module) || Module <- maps:keys(folders())],
    _ = [digraph:add_edge(Graph, A, B) || {A, B} <- calls(Xref), A =/= B],
    Circles = digraph_utils:cyclic_strong_components(Graph),
    true = digraph:delete(Graph),
    ?assertEqual([], Circles).

%% Function by function, both ways: nothing is called that is not listed, nothing listed that is not called.
dependencies(Xref) ->
    {ok, Calls} = xref:q(Xref, "E"),
    Folders = folders(),
    Callees = lists:usort([Callee || {{Caller, _, _}, Callee} <- Calls, is_map_key(Caller, Folders)]),
    Called = [Callee || {Module, _, _} = Callee <- Callees, is_dependency(Module)],
    Listed = listed(),
    ?assertEqual([], Called -- Listed),
    ?assertEqual([], Listed -- Called).

%% What hornbeam_code leaves of a dependency is called neither by us nor by what it loads of it.
loaded(Xref) ->
    Loaded = hornbeam_code:modules([]),
    {ok, _} = xref:add_directory(Xref, filename:dirname(code:which(cow_http2))),
    {ok, Edges} = xref:q(Xref, "ME"),
    Missing = [Edge || {A, B} = Edge <- Edges, lists:member(A, Loaded), is_dependency(B), not lists:member(B, Loaded)],
    %% It is the part `metrics'.
    ?assertEqual([], [{A, B} || {A, B} <- Missing, A =/= hornbeam_metrics_handler]).

%% Whole, with what it calls of OTP; nothing of it without a cluster.
loaded_for_a_cluster(Xref) ->
    Loaded = hornbeam_code:modules([cluster]),
    Ra = modules_of([ra, aten, seshat, gen_batch_server]),
    ?assertEqual([], Ra -- Loaded),
    ?assertEqual(Ra, Ra -- hornbeam_code:modules([])),
    _ = [{ok, _} = xref:add_directory(Xref, filename:dirname(code:which(Module))) || Module <- [ra, aten, seshat, gen_batch_server]],
    {ok, Edges} = xref:q(Xref, "ME"),
    Left = modules_of([kernel, stdlib]) -- Loaded,
    ?assertEqual([], [Edge || {A, B} = Edge <- Edges, lists:member(A, Ra), lists:member(B, Left)]).

modules_of(Applications) ->
    lists:append([element(2, application:get_key(Application, modules)) || Application <- Applications]).

includes_of_dependencies_test() ->
    ?assertEqual([], [{File, Line} || File <- sources("{erl,hrl}"), Line <- lines(File),
                                      match =:= re:run(Line, "^-include(_lib)?\\(\"(ranch|cowboy|cowlib|cow_|ra/|ra[._]|aten|seshat|gen_batch_server)", [{capture, none}])]).

%% A module of OTP's that is not documented is no better than a dependency's.
undocumented_of_otp_test() ->
    ?assertEqual([], [{File, Line} || File <- sources("erl"), Line <- lines(File),
                                      match =:= re:run(Line, "\\b(ssl_cipher|ssl_cipher_format|tls_[a-z_]+|prim_[a-z]+):[a-z]", [{capture, none}])]).

is_dependency(Module) ->
    Module =:= gen_batch_server orelse
        lists:member(hd(string:split(atom_to_list(Module), "_")), ["ranch", "cowboy", "cow", "ra", "aten", "seshat"]).

%% The calls between our own modules. A call from a fun to a function that is named at run time is none.
calls(Xref) ->
    {ok, Edges} = xref:q(Xref, "ME"),
    Folders = folders(),
    [Edge || {A, B} = Edge <- Edges, is_map_key(A, Folders), is_map_key(B, Folders)].

%% Module -> folder; "" is src/ itself.
folders() ->
    maps:from_list([{list_to_atom(filename:basename(File, ".erl")), folder(File)} || File <- sources("erl")]).

folder(File) ->
    case filename:basename(filename:dirname(File)) of
        "src" -> "";
        Folder -> Folder
    end.

%% The headings of the tree, from the ground up.
order() ->
    {match, Found} = re:run(architecture(), "^src/(?:([a-z0-9]+)/)? +[^ ]", [global, multiline, {capture, [1], list}]),
    lists:append(Found).

%% The functions in the table "What is called of dependencies".
listed() ->
    [_, Section0] = string:split(architecture(), "## What is called of dependencies"),
    [Section | _] = string:split(Section0, "\n## "),
    {match, Found} = re:run(Section, "`([a-z0-9_]+):([a-z0-9_]+)/([0-9]+)`", [global, {capture, all_but_first, list}]),
    lists:sort([{list_to_atom(M), list_to_atom(F), list_to_integer(A)} || [M, F, A] <- Found]).

architecture() ->
    project:read("docs/architecture.md").

sources(Extension) ->
    filelib:wildcard(project:path("src/**/*." ++ Extension)).

lines(File) ->
    {ok, Text} = file:read_file(File),
    binary:split(Text, <<"\n">>, [global]).
