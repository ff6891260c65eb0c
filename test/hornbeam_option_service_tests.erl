%%% hornbeam_option_service: the option `services' in all its forms, and what is wrong with it.
-module(hornbeam_option_service_tests).

-include_lib("eunit/include/eunit.hrl").

-define(SERVICE, {<<"m">>, <<"models:M">>, #{max_concurrency => 4, workers => 2}}).

services(Given) ->
    case hornbeam_options:validate(#{services => Given}) of
        {ok, #{services := Services} = Options} ->
            %% A validated value is valid, and stays what it is.
            {ok, Options} = hornbeam_options:validate(Options),
            Services;
        {error, {bad_option, services, Text}} ->
            Text
    end.

forms_test() ->
    Map = #{target => "models:M", processes => 2, concurrency => 4},
    [?assertEqual([?SERVICE], services(Given))
     || Given <- [#{m => Map}, [{m, Map}], #{<<"m">> => maps:to_list(Map)}, [{"m", "models:M", #{processes => 2, concurrency => 4}}],
                  "m=models:M;processes=2;concurrency=4", [<<"m=models:M; concurrency=4; processes=2">>]]],
    ?assertEqual([{<<"a">>, <<"x:A">>, #{}}, {<<"b">>, <<"x:B">>, #{env => #{<<"K">> => <<"1">>}}}],
                 services(["a=x:A", "b=x:B;env=K=1"])).

%% As flags, variables and files give it.
sources_test() ->
    {ok, [], Flags} = hornbeam_options:from_args(["--service", "m=models:M;processes=2;concurrency=4"]),
    {ok, Variables} = hornbeam_options:from_env(fun("HORNBEAM_SERVICES") -> "m=models:M;processes=2;concurrency=4"; (_) -> false end),
    Table = #{<<"target">> => <<"models:M">>, <<"processes">> => 2, <<"concurrency">> => 4},
    Files = [begin {ok, File} = hornbeam_options:from_file([{<<"services">>, Given}], "f"), File end
             || Given <- [#{<<"m">> => Table}, [Table#{<<"name">> => <<"m">>}], [<<"m=models:M;processes=2;concurrency=4">>]]],
    [?assertEqual([?SERVICE], services(Given)) || #{services := Given} <- [Flags, Variables | Files]].

%% What `hornbeam config' prints is what a file may have, without secrets.
report_test() ->
    {ok, Options} = hornbeam_options:validate(#{services => "m=models:M;env=KEY=secret;queue=5"}),
    Text = unicode:characters_to_list(hornbeam_options:report(Options, #{services => <<"flag">>}, changed)),
    ?assertNotEqual(nomatch, string:find(Text, "{ name = \"m\", target = \"models:M\", env = { KEY = \"***\" }, queue = 5 }")),
    ?assertEqual(nomatch, string:find(Text, "secret")).

wrong_test() ->
    [?assertMatch({match, _}, re:run(services(Given), Text), {Given, services(Given)})
     || {Given, Text} <- [{"m", "must be "}, {#{m => #{}}, "in the service m: there is no target"},
                          {#{m => #{target => "a b"}}, "in the service m: target must be"},
                          {"m=x:M;lifespan=on", "in the service m: .*lifespan.* is not an option of a service"},
                          {"m=x:M;workers=two", "in the service m"}, {"m=x:M;processes=0", "in the service m: workers must be"},
                          {"9=x:M", "has a name that must be"}, {["m=x:M", "m=y:M"], "has two services with the name"},
                          {#{m => #{target => "x:M", python => "a", venv => "b"}}, "in the service m: venv and python"}]].

%% Not the server's number of processes, nor how long they live.
own_limits_test() ->
    {ok, Config} = hornbeam_options:validate(#{workers => 8, max_requests => 10, max_worker_memory => 2000000, services => ["m=x:M", "n=x:N;max_requests=3"]}),
    [M, N] = [hornbeam_mounts:settings(Mount) || Mount <- hornbeam_service_pools:build(default, Config)],
    ?assertMatch(#{workers := 1, max_requests := infinity, max_concurrency := 32, fair_queue := 1000, max_queue := 2000,
                   max_worker_memory := 2000000, worker_class := service}, M),
    ?assertMatch(#{workers := 1, max_requests := 3}, N).
